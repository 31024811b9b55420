"""What a worker holds of one partition: its progress, and whether one of the next tasks is suspected.

A task may kill the process that works on it: then no handler can report it. So the commit's metadata counts how often
work was begun at a commit point by workers that neither got past it nor left in order. After `UNCLEAN_STARTS` of
them, the tasks from there on are worked on alone, one after the other, each announced by a commit; the one with which
`LONELY_STARTS` workers died is the one, and goes to the dead letters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from labkit.taskqueue.engine.offset_tracker import OffsetMetadata, OffsetTracker
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.transport.contract import Position, TopicPartition

#: After so many starts at one commit point that ended with the worker's death, one of the next tasks is suspected.
UNCLEAN_STARTS = 3
#: When so many workers have died with a task as their only one, the task is to blame.
LONELY_STARTS = 2
#: So often a task that kills its workers was delivered when it is given up.
DELIVERIES = UNCLEAN_STARTS + LONELY_STARTS


class PartitionState:
    """One assigned partition. `suspects` is how many tasks from the commit point on may be to blame; `finished` are
    offsets that are known to be finished beside those that were committed.

    `waiting` are tasks that wait until they may be worked on alone. `dirty`: something is finished and not committed.
    """

    def __init__(
        self, place: TopicPartition, committed: Position | None, *, suspects: int, finished: Collection[int] = ()
    ) -> None:
        commit_point, text = committed or Position(0)
        memo = OffsetMetadata.decode(text, commit_point)
        self.place = place
        #: whether the commit point is known; where nothing was ever committed, the first record tells it
        self.known = committed is not None
        self.progress = OffsetTracker(commit_point, memo.finished.union(finished))
        #: the last commit point that the broker has for certain
        self.saved = commit_point
        self.waiting: deque[WorkItem] = deque()
        self.dirty = False
        #: whether work was begun here since it was assigned, and the broker knows it
        self.begun = False
        self._begun_at = commit_point
        self._starts = memo.starts
        self._alone_until = memo.alone_until if memo.alone_until > commit_point else 0
        if self._alone_until == 0 and memo.starts >= UNCLEAN_STARTS:
            self._alone_until, self._starts = commit_point + suspects, 0

    def start_at(self, offset: int) -> None:
        """Nothing was ever committed here; this is the first offset."""
        self.known = True
        self.progress.commit_point = self._begun_at = self.saved = offset

    @property
    def alone(self) -> bool:
        """Whether one task at a time may be worked on."""
        return self.progress.commit_point < self._alone_until

    @property
    def holds_back(self) -> bool:
        """Whether a task that comes now has to wait: for its turn alone, or behind those that waited for theirs."""
        return self.alone or bool(self.waiting)

    def begin(self, *, again: bool = False) -> Position:
        """Work begins at the commit point: what to commit before.

        `again`: this worker began here before, and lives, so that start was not its last.
        """
        if self.progress.commit_point != self._begun_at:
            self._begun_at, self._starts = self.progress.commit_point, 0
        self._starts = max(1, self._starts if again else self._starts + 1)
        self.begun = True
        return self.position()

    def leave(self) -> Position:
        """Work ends in order: what to commit."""
        if self.begun:
            self._starts = max(0, self._starts - 1)
        return self.position()

    def next_is_alone(self) -> bool:
        """Whether everything before the first task that waits is finished."""
        return bool(self.waiting) and self.waiting[0].record.offset == self.progress.head

    def to_blame(self) -> bool:
        """Whether the next task has killed all workers that had it alone."""
        return self.alone and self._begun_at == self.progress.commit_point and self._starts >= LONELY_STARTS

    def position(self, *, finished: Iterable[int] = ()) -> Position:
        """The commit point with its metadata; with `finished`, as it will be when these offsets are finished too."""
        progress = self.progress.after(finished) if finished else self.progress
        starts = self._starts if progress.commit_point == self._begun_at else 0
        alone_until = self._alone_until if progress.commit_point < self._alone_until else 0
        return progress.position(starts=starts, alone_until=alone_until)
