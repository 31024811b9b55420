"""What a worker holds of one partition: how far it is done, and whether one of the next tasks is suspected.

A task may kill the process that works on it: then no handler can report it. So the commit's metadata counts how often
work was begun at a commit point by workers that neither got past it nor left in order. A start counts when the commit
that announces it has succeeded. After `UNCLEAN_STARTS` of them, the tasks from there on are worked on alone, one after
the other, each announced by a commit; the one with which `LONELY_STARTS` workers died is the one, and goes to the dead
letters. Alone means that nothing else runs in its worker: see `labkit.taskqueue.engine.quarantine`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from labkit.taskqueue.engine.offset_metadata import MetadataLimit, OffsetMetadata
from labkit.taskqueue.engine.offset_tracker import OffsetTracker
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.transport.contract import Position, Record, TopicPartition

#: After so many starts at one commit point that ended with the worker's death, one of the next tasks is suspected.
UNCLEAN_STARTS = 3
#: When so many workers have died with a task as their only one, the task is to blame.
LONELY_STARTS = 2
#: So often a task that kills its workers was delivered when it is given up.
DELIVERIES = UNCLEAN_STARTS + LONELY_STARTS


class PartitionState:
    """One assigned partition of the topic with this id.

    `committed` is what the group has committed, None where it has nothing for this very topic; `done` are offsets that
    are known to be done beside those. `suspects` is how many tasks from the commit point on may be to blame, 0 where
    none can be. `epoch` is the number of this assignment, by which the items know to which they belong. `begun_before`:
    this worker itself began here and could not say that it left, so one of the starts may be its own.
    """

    def __init__(
        self,
        place: TopicPartition,
        committed: Position | None,
        *,
        topic_id: str = "",
        epoch: int = 0,
        suspects: int,
        done: Iterable[range] = (),
        begun_before: bool = False,
        limit: MetadataLimit | None = None,
    ) -> None:
        commit_point, text = committed or Position(0)
        metadata = OffsetMetadata.decode(text, commit_point)
        self.place = place
        #: before this offset everything was done when it was assigned
        self.start = commit_point
        #: the last record that came
        self.latest: Record | None = None
        self.topic_id = topic_id
        self.epoch = epoch
        #: whether the commit point is known; where nothing was ever committed, the first record tells it
        self.known = committed is not None
        self.tracker = OffsetTracker(commit_point, [*metadata.done, *done])
        #: the last commit point that the broker has for certain
        self.saved = commit_point
        #: tasks that wait until they may be worked on alone
        self.waiting: deque[WorkItem] = deque()
        #: whether something is done and not committed
        self.dirty = False
        #: whether work was begun here since it was assigned, and the broker knows it
        self.begun = False
        #: whether a transaction that commits here may have happened or not: until that is settled, nothing is committed
        self.in_doubt = False
        #: whether a dead letter from here cannot be written, so that no more is taken from here
        self.stopped = False
        self._begun_at = commit_point
        self._starts = metadata.starts
        self._begun_before = begun_before
        self._limit = limit or MetadataLimit()
        self._alone_until = metadata.alone_until if suspects and metadata.alone_until > commit_point else 0
        if self._alone_until == 0 and metadata.starts >= UNCLEAN_STARTS:
            self._alone_until, self._starts = commit_point + suspects, 0

    def start_at(self, offset: int) -> None:
        """Nothing was ever committed here; this is the first offset."""
        self.known = True
        self.tracker = OffsetTracker(offset)
        self._begun_at = self.saved = self.start = offset

    @property
    def last(self) -> int:
        """The offset of the last record that came, or that before the first one to come."""
        return self.start - 1 if self.latest is None else self.latest.offset

    def receive(self, record: Record) -> bool:
        """As `OffsetTracker.receive`."""
        if record.offset > self.last:
            self.latest = record
        return self.tracker.receive(record.offset)

    @property
    def alone(self) -> bool:
        """Whether one task at a time may be worked on."""
        return self._alone_until > 0 and self.tracker.commit_point < self._alone_until

    @property
    def holds_back(self) -> bool:
        """Whether a task that comes now has to wait: for its turn alone, or behind those that waited for theirs."""
        return self.alone or bool(self.waiting)

    def announcement(self) -> Position:
        """Work is to begin at the commit point: what to commit before. It counts with `announced`."""
        return self._position(*self.tracker.after(), self._next_starts())

    def announced(self) -> None:
        """The commit of the `announcement` has succeeded: the work begins."""
        self._starts = self._next_starts()
        self._begun_at = self.tracker.commit_point
        self._begun_before = True
        self.begun = True

    def leave(self) -> Position:
        """Work ends in order: what to commit."""
        if self._begun_before:
            self._starts = max(0, self._starts - 1)
        return self.position()

    def next_is_alone(self) -> bool:
        """Whether the first task that waits is suspected, and everything before it is done."""
        return self.alone and bool(self.waiting) and self.waiting[0].record.offset == self.tracker.head

    def to_blame(self) -> bool:
        """Whether the next task has killed all workers that had it alone."""
        died = self._starts - 1 if self._begun_before else self._starts
        return self.alone and self._begun_at == self.tracker.commit_point and died >= LONELY_STARTS

    def position(self, *, finished: Collection[int] = ()) -> Position:
        """The commit point with its metadata; with `finished`, as it will be when these offsets are done too."""
        commit_point, done = self.tracker.after(finished)
        return self._position(commit_point, done, self._starts if commit_point == self._begun_at else 0)

    def _position(self, commit_point: int, done: tuple[range, ...], starts: int) -> Position:
        alone_until = self._alone_until if commit_point < self._alone_until else 0
        metadata = OffsetMetadata(done, self.topic_id, starts, alone_until)
        return Position(
            commit_point, "" if metadata == OffsetMetadata() else metadata.encode(commit_point, self._limit.bytes)
        )

    def _next_starts(self) -> int:
        """How many starts there are with the next one; that of this worker counts once."""
        if self.tracker.commit_point != self._begun_at:
            return 1
        return max(1, self._starts if self._begun_before else self._starts + 1)
