"""Partitions that have lost their end under the same topic, as with a broker's disk, and are filled anew.

What comes there bears offsets that count as done: it would be skipped without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from labkit.errors import TransportError
from labkit.logs.safe_logger import safe_logger
from labkit.taskqueue.engine.offset_metadata import MetadataLimit, OffsetMetadata
from labkit.taskqueue.engine.partition_state import PartitionState
from labkit.taskqueue.transport.contract import ConsumerClient, Position, Record, TopicPartition

log = safe_logger("labkit.worker")


class LostRecords:
    """From which offset on which partitions are filled anew, until the group has committed that."""

    def __init__(self, client: ConsumerClient, limit: MetadataLimit) -> None:
        self._client = client
        self._limit = limit
        self._since: dict[TopicPartition, tuple[int, str]] = {}

    def look_at_ends(self, held: Mapping[int, PartitionState], ends: Mapping[int, int]) -> bool:
        """Whether one of them ends before what was done when it was assigned."""
        lost = [state for partition, state in held.items() if ends.get(partition, state.start) < state.start]
        for state in lost:
            self._since[state.place] = 0, state.topic_id
        return bool(lost)

    def look_at_records(self, held: Mapping[int, PartitionState], records: Iterable[Record]) -> bool:
        """Whether these are of what fills one of them anew."""
        by_partition: dict[int, list[Record]] = {}
        for record in records:
            by_partition.setdefault(record.partition, []).append(record)
        lost = False
        for partition, mine in by_partition.items():
            state = held[partition]
            since = filled_anew(state, mine, partial(self._client.position, state.place))
            if partition not in held:  # they were taken while the client was asked
                return False
            if since is not None:
                self._since[state.place] = since, state.topic_id
                lost = True
        return lost

    def commit(self) -> None:
        """Set the group back, before anybody takes for done what has these offsets now; raises `TransportError`.

        It names the topic on which that was seen: of one that was made anew meanwhile it tells nothing.
        """
        if self._since:
            self._limit.commit(self._client.commit, self._positions)
            self._since.clear()

    def leave(self) -> None:
        """As `commit`, as far as the broker takes it; the partitions are given up."""
        try:
            self.commit()
        except TransportError as error:
            log.warning("That records were lost, the broker was not told, so tasks may be taken for done: %s", error)
        self._since.clear()

    def _positions(self) -> Mapping[TopicPartition, Position]:
        return {
            place: Position(offset, OffsetMetadata(topic_id=topic_id).encode(offset, self._limit.bytes))
            for place, (offset, topic_id) in self._since.items()
        }


def filled_anew(state: PartitionState, records: Sequence[Record], position: Callable[[], int | None]) -> int | None:
    """The offset from which on these records of one partition fill it anew; None if they are read on.

    `position` tells where the client reads on after them. A log that is read on brings nothing from before its start,
    and no offset twice. But one record that comes twice, and then what was to come, is only that: the client must have
    gone back, or the record at that offset be another.
    """
    latest, last = state.latest, state.last
    for number, record in enumerate(records, 1):
        offset = record.offset
        if offset > last:
            latest, last = record, offset
            continue
        following = records[number].offset if number < len(records) else position() or offset + 1
        if offset < state.start or following <= last or (offset == last and record != latest):
            return offset
    return None
