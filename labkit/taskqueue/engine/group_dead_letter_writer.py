"""Writes dead letters for a member of a consumer group: see `labkit.taskqueue.engine.dead_letter_writer`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from labkit.errors import MetadataTooLarge, TransportError
from labkit.taskqueue.engine.assigned_partitions import AssignedPartitions
from labkit.taskqueue.engine.dead_letter_writer import DeadLetterWriter, Positions
from labkit.taskqueue.engine.offset_metadata import OffsetMetadata
from labkit.taskqueue.engine.refused_letters import STUCK_INTERVAL
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.transport.contract import ConsumerClient, Outgoing, Position, TopicPartition


class _Doubt(NamedTuple):
    """A transaction of which it is open whether it happened; what the broker said, if it said anything."""

    items: list[WorkItem]
    refusal: TransportError | None


class GroupDeadLetterWriter(DeadLetterWriter):
    """Writes letters and commits past their tasks, for a member of a consumer group."""

    _CONSEQUENCE = f"That partition is stopped until it can, which is tried every {STUCK_INTERVAL:g} s."

    def serve(self, client: ConsumerClient, partitions: AssignedPartitions) -> None:
        """Commit by this client for these; to be called before the first letter."""
        self._member = client
        self._partitions = partitions
        self._doubt: _Doubt | None = None
        # letters whose tasks a commit cannot name as done, since there is more than its metadata holds
        self._unfit: dict[WorkItem, None] = {}

    def write(self, items: Sequence[WorkItem]) -> list[WorkItem]:
        """As in every writer; partitions with a letter that cannot be written are marked as stopped."""
        given = set(items)
        self._unfit = {item: None for item in self._unfit if item in given}
        written = super().write([*(item for item in items if item not in self._unfit), *self._unfit])
        if items:
            stopped = {item.record.partition for item in self.stuck() if item not in written}
            for partition, state in self._partitions.by_partition.items():
                state.stopped = partition in stopped
        return written

    @property
    def in_doubt(self) -> bool:
        """Whether it is open what became of a transaction."""
        return self._doubt is not None

    def settle(self) -> list[WorkItem]:
        """See what became of a transaction whose end was not seen; what of it is through. Raises `TransportError`."""
        if self._doubt is None:
            return []
        self._open()  # before the look at what is committed, which is settled only then
        states = {item: state for item in self._doubt.items if (state := self._partitions.owner(item)) is not None}
        places = sorted({state.place for state in states.values()})
        committed = self._member.committed(places) if places else {}
        refusal, self._doubt = self._doubt.refusal, None
        for state in states.values():
            state.in_doubt = False
        written = [item for item, state in states.items() if _is_past(committed[state.place], item.record.offset)]
        if refusal is not None and len(written) < len(states):
            self._refused.refuse([item for item in states if item not in written], refusal)
        return written

    def waiting(self) -> int:
        """How many of the last items have letters that cannot be written now."""
        return len(self.stuck()) + len(self._unfit)

    def _fit(self, items: list[WorkItem]) -> tuple[list[WorkItem], Positions]:
        """Those that the commit will name as done: a letter of any other would be written again after a crash."""
        offsets: dict[int, set[int]] = defaultdict(set)
        for item in items:
            offsets[item.record.partition].add(item.record.offset)
        states = [self._partitions.by_partition[partition] for partition in offsets]
        positions = {state.place: state.position(finished=offsets[state.place.partition]) for state in states}
        named = [item for item in items if _is_past(positions[_place(item)], item.record.offset)]
        for item in items:
            self._unfit.pop(item, None)
        self._unfit |= dict.fromkeys(item for item in items if item not in named)
        return named, positions

    def _send(self, letters: Sequence[Outgoing], positions: Positions) -> None:
        client = self._open()
        try:
            client.write(letters, positions, self._member)
        except MetadataTooLarge as error:
            self._partitions.limit.lower(positions, error)
            raise

    def _is_open(self, items: list[WorkItem], refusal: TransportError | None) -> None:
        self._doubt = _Doubt(items, refusal)
        for item in items:
            state = self._partitions.owner(item)
            if state is not None:
                state.in_doubt = True


def _place(item: WorkItem) -> TopicPartition:
    return TopicPartition(item.record.topic, item.record.partition)


def _is_past(committed: Position | None, offset: int) -> bool:
    """Whether what is committed says that this offset is done."""
    if committed is None:
        return False
    metadata = OffsetMetadata.decode(committed.metadata, committed.offset)
    return offset < committed.offset or metadata.is_done(offset)
