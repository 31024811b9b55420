"""How a share group stands (KIP-932). The broker tells little, and counts what nobody can read."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import NamedTuple

from labkit.errors import TransportError
from labkit.resource import LazyResource, end_all
from labkit.taskqueue.groups.group_state import DoneBefore
from labkit.taskqueue.topics import PartitionLag, Topic
from labkit.taskqueue.transport.contract import AdminClient
from labkit.taskqueue.transport.share_contract import ShareLag

#: How long a partition is as it was before it is looked at what of it is left, in seconds; after each look that finds
#: something, or nothing out, twice as long.
STILL = 1.0


class SharePlace(NamedTuple):
    """One partition: from `start` up to `end` there are `left` offsets that are not known to be through."""

    start: int
    left: int
    end: int


def share_place(first: int, told: ShareLag | None, end: int) -> SharePlace:
    """A partition that begins and ends there, by what the broker has told; never more is left than there is."""
    start = first if told is None else min(max(first, told.start), end)
    return SharePlace(start, end - start if told is None else min(told.left, end - start), end)


class _Seen(NamedTuple):
    """How a partition was, and when it is looked at if it is still so, after how many seconds."""

    place: SharePlace
    due: float
    patience: float


class ShareGroupState:
    """A share group, whose members all read all partitions. Raises `Unsupported` if the transport has none.

    `has_done(partition, floor)` tells whether the group has done all that can be read there from that offset on, as far
    as is known here; None if that is not to be asked now. `measure` only measures.
    """

    def __init__(
        self,
        topic: Topic,
        group: str,
        has_done: Callable[[int, int], bool | None],
        *,
        measure: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topic = topic
        self._group = topic.full_group(group)
        self._groups = topic.transport.share_groups()
        self._has_done = has_done
        self._measure = measure
        self._admin: LazyResource[AdminClient] = LazyResource(topic.transport.admin)
        self._seen: dict[int, _Seen] = {}
        self._empty: dict[int, SharePlace] = {}

    def is_balanced(self, mine: Mapping[str, tuple[int, ...]], *, killed: Collection[str]) -> bool:
        """Whether these workers are members and may read. The killed ones take nothing from them."""
        members = self._groups.members(self._group)
        return all(members.get(name) for name in mine)

    def lag(self, *, look: bool = False) -> list[PartitionLag]:
        """How many records are neither accepted nor given up, one entry per partition, in order.

        They may lie anywhere: `committed` is only the end less their number. The broker counts an aborted transaction
        too, and what was cut off. So with `look`, where the number stays as it is, it is seen if there is anything.
        """
        return [
            PartitionLag(partition=number, committed=place.end - self._left(number, place, look=look), end=place.end)
            for number, place in self._places().items()
        ]

    def done(self) -> DoneBefore:
        """What is done; of what lies behind the first offset that is left, only the number is told."""
        topic_id, places = self.topic_id(), self._places()
        behind = {number: range(place.start, place.end) for number, place in places.items()}
        others = {number: (offsets, len(offsets) - places[number].left) for number, offsets in behind.items()}
        return DoneBefore(topic_id, {number: [range(place.start)] for number, place in places.items()}, others)

    def topic_id(self) -> str:
        """The id of the topic that bears the name now; raises `UnknownTopic`."""
        return self._admin.get().describe_topic(self._topic.full_name).id

    def close(self) -> None:
        """Let go of the connections."""
        end_all(self._groups.close, self._admin.close)

    def _places(self) -> dict[int, SharePlace]:
        """Per partition, in order; never more is left than there is."""
        admin = self._admin.get()
        starts = admin.start_offsets(self._topic.full_name)
        told = self._groups.lag(self._group, self._topic.full_name)
        ends = admin.end_offsets(self._topic.full_name)  # the newest: nothing is done that is not written
        places = {}
        for number, end in sorted(ends.items()):
            places[number] = share_place(starts.get(number, 0), told.get(number), end)
        return places

    def _left(self, number: int, place: SharePlace, *, look: bool) -> int:
        if not place.left or self._empty.get(number) == place:
            return 0
        now, seen = self._measure(), self._seen.get(number)
        if seen is None or seen.place != place:
            self._seen[number] = _Seen(place, now + STILL, STILL)
        elif look and now >= seen.due:
            has_done: bool | None = False
            with suppress(TransportError):  # as while a transaction is open: then it is not known
                has_done = self._has_done(number, place.start)
            if has_done:
                self._empty[number] = place
                return 0
            patience = seen.patience if has_done is None else 2 * seen.patience
            self._seen[number] = _Seen(place, self._measure() + patience, patience)  # to look may have taken a while
        return place.left
