"""All partitions that a worker has: adopted, committed and given up together."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from labkit.errors import CommitRefused, TransportError
from labkit.logs.safe_logger import safe_logger
from labkit.taskqueue.engine.partition_state import PartitionState
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.transport.contract import ConsumerClient, Position, TopicPartition

#: What was finished since the last commit is what a crash repeats. So it is committed when it is so many tasks, …
MANY = 8
#: … or nothing more is in flight, …
#: … or after so many seconds at the latest; …
LONGEST_INTERVAL = 0.2
#: … but at most this often, in seconds, …
MIN_COMMIT_INTERVAL = 0.01
#: … and so seldom that commits take no more than this share of the time, …
COMMIT_SHARE = 0.1
#: … unless that would be less often than this, in seconds.
MAX_COMMIT_INTERVAL = 0.05

log = safe_logger("labkit.worker")


class _Unsaved(NamedTuple):
    """Offsets finished since a commit point."""

    since: int
    finished: frozenset[int]


class AssignedPartitions:
    """The partitions of one topic that are assigned to one worker. `clock` is in seconds and only measures."""

    def __init__(
        self, client: ConsumerClient, topic: str, *, suspects: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._topic = topic
        self._suspects = suspects
        self._clock = clock
        self._held: dict[int, PartitionState] = {}
        # What this worker has finished and could not commit when its partitions were taken: the broker was away. If it
        # gets them back, it need not do that work again.
        self._unsaved: dict[TopicPartition, _Unsaved] = {}
        # Where this worker has begun and could not say that it left: the start still counts there. It lives, so its own
        # starts must not make one of the tasks suspected.
        self._unclean: dict[TopicPartition, int] = {}
        self._committed_at = clock()
        self._finished = 0
        self._pause = MIN_COMMIT_INTERVAL
        self._waits = False

    @property
    def by_partition(self) -> Mapping[int, PartitionState]:
        """The holdings by the numbers of their partitions."""
        return self._held

    def get(self, partition: int) -> PartitionState | None:
        """The holding of this partition; None if it is not held."""
        return self._held.get(partition)

    def with_waiting(self) -> list[PartitionState]:
        """Those in which tasks wait to be worked on alone."""
        return [holding for holding in self._held.values() if holding.waiting]

    def adopt(self, places: Sequence[TopicPartition]) -> None:
        """These are assigned now: see how far they are done.

        Raises `TransportError` if the broker did not answer; then none of them is held.
        """
        adopted = [self._adopt(place, committed) for place, committed in self._client.committed(places).items()]
        for place in places:
            self._unsaved.pop(place, None)
        self._held = {holding.place.partition: holding for holding in adopted}

    def begin(self, first: Mapping[int, int]) -> None:
        """Say on the broker that work begins on these partitions, with the first of their records to come.

        Raises `TransportError` if the broker did not answer or refused; then the records have to wait.
        """
        for partition, offset in first.items():
            if not self._held[partition].known:
                self._held[partition].start_at(offset)
        self._begin([self._held[partition] for partition in first])

    def begin_alone(self, holding: PartitionState) -> None:
        """Say on the broker that the next task is begun alone; raises `TransportError`."""
        self._client.commit({holding.place: holding.begin()})

    def skip_gaps(self) -> None:
        """Go past what is no record for anybody, such as the end of a transaction; to call after an empty poll."""
        for holding in self._held.values():
            position = self._client.position(holding.place)
            if holding.known and position is not None and holding.progress.skip_to(position):
                holding.dirty = True

    def finish(self, item: WorkItem) -> None:
        """This task is done, or among the dead letters."""
        item.owner.progress.finish(item.record.offset)
        item.owner.dirty = True
        self._finished += 1

    def commit_if_due(self, *, idle: bool) -> None:
        """Commit what is finished, if it is enough or enough time has passed; `idle`: nothing more is in flight."""
        pause = self._pause if idle or self._finished >= MANY else LONGEST_INTERVAL
        if self._clock() - self._committed_at >= pause:
            dirty = {holding.place: holding.position() for holding in self._held.values() if holding.dirty}
            if dirty:
                self._commit(dirty)

    def leave(self) -> None:
        """Commit everything and forget the partitions."""
        left = {holding.place: holding.leave() for holding in self._held.values() if holding.known}
        if left and not self._commit(left):
            self._unsaved |= {place: self._what_is_unsaved(place) for place in left}
        elif left:
            self._unclean = {place: offset for place, offset in self._unclean.items() if place not in left}
        self._held.clear()

    def _adopt(self, place: TopicPartition, committed: Position | None) -> PartitionState:
        unsaved = self._unsaved.get(place)
        if unsaved is None or committed is None or committed.offset < unsaved.since:
            # offsets that go back are those of another topic of the same name: what was known is void
            return PartitionState(place, committed, suspects=self._suspects)
        return PartitionState(place, committed, suspects=self._suspects, finished=unsaved.finished)

    def _what_is_unsaved(self, place: TopicPartition) -> _Unsaved:
        holding = self._held[place.partition]
        return _Unsaved(holding.saved, holding.progress.finished_since(holding.saved))

    def _begin(self, holdings: Sequence[PartitionState]) -> None:
        beginning = [holding for holding in holdings if not holding.alone]
        if not beginning:
            return
        here = {holding.place: holding.progress.commit_point for holding in beginning}
        again = {place for place, offset in here.items() if self._unclean.get(place) == offset}
        self._unclean |= here  # also if the broker does not answer: the next try is for the same start
        try:
            self._client.commit({holding.place: holding.begin(again=holding.place in again) for holding in beginning})
        except TransportError:
            for holding in beginning:
                holding.begun = False
            raise

    def _commit(self, positions: dict[TopicPartition, Position]) -> bool:
        """Whether the broker has them now."""
        taken = False
        started = self._clock()
        try:
            self._client.commit(positions)
            taken = True
            self._waits = False
            for place, position in positions.items():
                self._held[place.partition].saved = position.offset
            self._clean(positions)
        except CommitRefused as error:
            # other workers own them now and will repeat this work: at least once
            log.warning("%s", error)
            self._clean(positions)
        except TransportError as error:
            # it goes with the next one; to say so once is enough
            log.log(logging.INFO if self._waits else logging.WARNING, "The commit has to wait: %s", error)
            self._waits = True
        self._committed_at = self._clock()
        self._finished = 0
        fair = (self._committed_at - started) / COMMIT_SHARE
        self._pause = min(max(MIN_COMMIT_INTERVAL, fair), MAX_COMMIT_INTERVAL)
        return taken

    def _clean(self, places: Iterable[TopicPartition]) -> None:
        for place in places:
            self._held[place.partition].dirty = False
