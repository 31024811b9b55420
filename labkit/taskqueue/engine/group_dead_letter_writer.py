"""Writes dead letters for a member of a consumer group: see `labkit.taskqueue.engine.dead_letter_writer`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from labkit.errors import MetadataTooLarge, TransportError
from labkit.taskqueue.engine.assigned_partitions import AssignedPartitions
from labkit.taskqueue.engine.dead_letter_writer import RETRY_INTERVAL, DeadLetterWriter, Positions
from labkit.taskqueue.engine.offset_metadata import OffsetMetadata
from labkit.taskqueue.engine.refused_letters import STUCK_INTERVAL
from labkit.taskqueue.engine.topic_identity import TopicIdentity
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.transport.contract import ConsumerClient, Outgoing, Position, TopicPartition


class _Doubt(NamedTuple):
    """A transaction of which it is open whether it happened; what the broker said, if it said anything."""

    items: list[WorkItem]
    refusal: TransportError | None


class _Unfit(NamedTuple):
    """A letter whose task a commit cannot name as done: at which commit point it was seen, and when to look again."""

    commit_point: int
    not_before: float


class GroupDeadLetterWriter(DeadLetterWriter):
    """Writes letters and commits past their tasks, for a member of a consumer group."""

    _CONSEQUENCE = f"A partition with such a letter is stopped until it can, which is tried every {STUCK_INTERVAL:g} s."

    def serve(self, client: ConsumerClient, partitions: AssignedPartitions, identity: TopicIdentity) -> None:
        """Commit by this client for these, and ask this one whether the broker answers; to call before a letter."""
        self._member = client
        self._partitions = partitions
        self._identity = identity
        self._doubt: _Doubt | None = None
        # there is more done beyond the commit point than its metadata holds
        self._unfit: dict[WorkItem, _Unfit] = {}

    def write(self, items: Sequence[WorkItem]) -> list[WorkItem]:
        """As in every writer; partitions with a letter that cannot be written now are marked as stopped."""
        given = set(items)
        self._unfit = {item: unfit for item, unfit in self._unfit.items() if item in given}
        written = super().write(items)
        if items:
            stopped = {item.record.partition for item in self._waiting()}
            for partition, state in self._partitions.by_partition.items():
                state.stopped = partition in stopped
        return written

    @property
    def in_doubt(self) -> bool:
        """Whether it is open what became of a transaction."""
        return self._doubt is not None

    def settle(self) -> list[WorkItem]:
        """See what became of a transaction whose end was not seen; what of it is through. Raises `TransportError`.

        Not while the broker does not answer to that. Who adopts a partition then hears it with what is committed.
        """
        if self._doubt is None or (self._is_shut and self._refused.is_silent):
            return []
        self._open()  # before the look at what is committed, which is settled only then
        states = {item: state for item in self._doubt.items if (state := self._partitions.owner(item)) is not None}
        places = sorted({state.place for state in states.values()})
        committed = self._member.committed(places) if places else {}
        refusal, self._doubt = self._doubt.refusal, None
        for state in states.values():
            state.in_doubt = False
        written = _named(committed, states)
        if refusal is not None and len(written) < len(states):
            self._refused.refuse([item for item in states if item not in written], refusal)
        return written

    def waiting(self) -> int:
        """How many of the last items have letters that cannot be written now."""
        return len(self._waiting())

    def _waiting(self) -> set[WorkItem]:
        return {*self.stuck(), *self._unfit}

    def _ready(self, items: list[WorkItem]) -> Iterable[WorkItem]:
        given = set(items)
        may_fit = [item for item, unfit in self._unfit.items() if item in given and self._may_fit(item, unfit)]
        return [*(item for item in items if item not in self._unfit), *may_fit]

    def _may_fit(self, item: WorkItem, unfit: _Unfit) -> bool:
        """Whether there may be room now: to see it takes as long as to make a commit and to read it."""
        state = self._partitions.by_partition[item.record.partition]
        return state.tracker.commit_point != unfit.commit_point or self._clock() >= unfit.not_before

    def _fit(self, items: list[WorkItem]) -> tuple[list[WorkItem], Positions]:
        """Those that the commit will name as done: a letter of any other would be written again after a crash."""
        offsets: dict[int, set[int]] = defaultdict(set)
        for item in items:
            offsets[item.record.partition].add(item.record.offset)
        states = [self._partitions.by_partition[partition] for partition in offsets]
        positions = {state.place: state.position(finished=offsets[state.place.partition]) for state in states}
        named = _named(positions, items)
        for item in items:
            self._unfit.pop(item, None)
        for item in set(items).difference(named):
            commit_point = self._partitions.by_partition[item.record.partition].tracker.commit_point
            self._unfit[item] = _Unfit(commit_point, self._clock() + RETRY_INTERVAL)
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


def _named(commits: Mapping[TopicPartition, Position | None], items: Iterable[WorkItem]) -> list[WorkItem]:
    """Those of which these commits say that they are done."""
    named: list[WorkItem] = []
    beyond: dict[TopicPartition, OffsetMetadata] = {}  # it may hold thousands of runs, so each is read once
    for item in items:
        place, offset = _place(item), item.record.offset
        commit = commits[place]
        if commit is None:
            continue
        if offset >= commit.offset and place not in beyond:
            beyond[place] = OffsetMetadata.decode(commit.metadata, commit.offset)
        if offset < commit.offset or beyond[place].is_done(offset):
            named.append(item)
    return named
