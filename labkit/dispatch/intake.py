"""What brings the tasks of one class from Kafka to the dispatcher: a worker that works on nothing itself, and the line
in which they wait, first come, first served.

It is a `Worker` of a group in everything that concerns Kafka: offsets are committed when their tasks are in
Celery, or dropped, or dead letters; what is finished beyond the commit point is remembered; rebalances and dead letters
are the same.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from labkit.policies import Backlog, PriorityClass
from labkit.taskqueue.engine.attempts import Attempts
from labkit.taskqueue.engine.executors import Executor
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.shard import Shards
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.groups.group_state import ConsumerGroupState, GroupState
from labkit.taskqueue.timeouts import wait_until_there
from labkit.taskqueue.transport.contract import Record
from labkit.taskqueue.worker_group.drain import shares
from labkit.taskqueue.worker_group.worker import Worker

#: How a task gets back to that end of the line from which it was taken.
_Back = Callable[[WorkItem], object]


class IntakeQueue(Shards):
    """A line that the dispatcher takes from, at its head or, to shed the newest, at its end.

    Its worker fills it and, in a rebalance, takes it away. A task that was taken is in the dispatcher's hands until it
    is `done` or put back; the worker waits for that. `on_change` is called when tasks have come or the line is closed.
    Where it has an admission, what comes waits for it first, and does not count as waiting until it is let in.
    While it is held (`hold`), since the broker takes no commit, all of them wait; `on_change` tells when they need not.

    How long a task has waited counts by `clock` from when it came here. What it has waited on Kafka before is added: by
    its record's own time, which is its producer's word, so one that lies ahead counts for nothing. `wall_clock` gives
    seconds since the epoch; it is looked at once for each task, so whoever sets it later changes nothing.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, wall_clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__("none", clock=clock)
        self._wall_clock = wall_clock
        self.has_admission = False
        self._at_admission: deque[WorkItem] = deque()
        self._line: deque[WorkItem] = deque()
        self._in_hand: dict[WorkItem, _Back] = {}
        self._settled = threading.Condition()
        self.on_change: Callable[[], object] = lambda: None

    def put(self, items: Iterable[WorkItem]) -> None:
        """Tasks have come, in this order."""
        came, now, since_epoch = list(items), self._clock(), self._wall_clock()
        for item in came:
            item.waits_since = now - _wait_on_kafka(item.record, since_epoch)
        with self._settled:
            (self._at_admission if self.has_admission else self._line).extend(came)
        self.on_change()

    def at_door(self) -> WorkItem | None:
        """The first task at admission; None if there is none."""
        with self._settled:
            return self._at_admission[0] if self._at_admission and self._gives() else None

    def let_in(self) -> None:
        """The first task at admission joins the line."""
        with self._settled:
            if self._at_admission and self._gives():
                self._line.append(self._at_admission.popleft())

    def take_at_door(self) -> WorkItem | None:
        """The first task at admission, which does not join the line; None as for `take_first`."""
        return self._take(self._at_admission, deque.popleft, self._at_admission.appendleft)

    def __len__(self) -> int:
        with self._settled:
            return 0 if self._halted else len(self._line)

    def head(self) -> WorkItem | None:
        """The task that has waited longest; None as for `take_first`."""
        with self._settled:
            return self._line[0] if self._line and self._gives() else None

    def take_first(self) -> WorkItem | None:
        """The task that has waited longest; None if none does, or if the line is held or being taken away."""
        return self._take(self._line, deque.popleft, self._line.appendleft)

    def take_last(self) -> WorkItem | None:
        """The task that came last; None as for `take_first`."""
        return self._take(self._line, deque.pop, self._line.append)

    def put_back(self) -> None:
        """Nothing has become of what is in the dispatcher's hands: all of it goes back to where it was taken."""
        with self._settled:
            for item, back in reversed(self._in_hand.items()):
                item.attempt = 0
                back(item)
            self._in_hand.clear()
            self._settled.notify_all()

    def done(self, item: WorkItem) -> None:
        """The task that was taken is settled, also if it was put back to the door meanwhile."""
        with self._settled:
            self._in_hand.pop(item, None)
            if self._at_admission and self._at_admission[0] is item:
                self._at_admission.popleft()
            self._settled.notify_all()

    def postpone(self, item: WorkItem, delay: float, *, behind: bool = False) -> None:
        """The task goes back to where it was taken; here it is the dispatcher who knows when to try again."""
        with self._settled:
            back = self._in_hand.pop(item, None)
            if back is not None:
                back(item)
            self._settled.notify_all()

    def release_due(self) -> float | None:
        """Nothing is ever postponed."""
        return None

    def halt(self) -> None:
        """Give nothing more to the dispatcher, from now on; `drop` is to follow."""
        with self._settled:
            self._halted = True
        self.on_change()

    def drop(self, *, timeout: float | None) -> bool:
        """Wait for what is in the dispatcher's hands, and forget the rest.

        False if some of it still was there after `timeout` seconds.
        """
        self.halt()
        with self._settled:
            settled = self._settled.wait_for(lambda: not self._in_hand, timeout)
            self._in_hand.clear()
            self._line.clear()
            self._at_admission.clear()
            self._halted = False
        return settled

    def close(self) -> None:
        """No more tasks come, and those that still wait are others' now."""
        self.halt()

    def _gives(self) -> bool:
        return not (self._halted or self._is_held())

    def _say_ready(self) -> None:
        self.on_change()

    def _take(self, line: deque[WorkItem], end: Callable[[deque[WorkItem]], WorkItem], back: _Back) -> WorkItem | None:
        with self._settled:
            if not (line and self._gives()):
                return None
            item = end(line)
            self._in_hand[item] = back
            return item


class Intake(Worker):
    """Fills its `line` and settles what the dispatcher reports to `attempts`."""

    # no task runs in this process, so none is to blame when it dies
    _may_be_killed = False
    # a record that Redis does not take is one that has to be made again
    _is_shielded = False

    @property
    def line(self) -> IntakeQueue:
        """Who waits."""
        return cast(IntakeQueue, self._shards)

    @property
    def attempts(self) -> Attempts:
        """Who is told what became of each task."""
        return self._attempts

    def backlog(self, known: PriorityClass) -> Backlog:
        """What waits, as the policies see it, by the clock `measure`; `known` is its class. A task has arrived when it
        came to Kafka, as far as that is known (see `IntakeQueue`).
        """
        waiting, head = len(self.line), self.line.head()
        if head is None or not waiting:
            return Backlog(waiting=0, arrived_at=None, deadline=None)
        due = None if known.relative_deadline is None else head.waits_since + known.relative_deadline
        return Backlog(waiting=waiting, arrived_at=head.waits_since, deadline=due)

    def tell(self, call: Callable[[], object]) -> None:
        """Call this whenever the line has changed; to be set before `run`."""
        self.line.on_change = call

    def _new_shards(self) -> IntakeQueue:
        return IntakeQueue(clock=self._measure, wall_clock=self._clock)

    def _new_executor(self, work: Work) -> Executor:
        return _Nobody()


class _Nobody:
    """The dispatcher comes by itself."""

    def start(self) -> None:
        """Nothing to do."""

    def join(self, timeout: float) -> bool:
        """Nothing runs here."""
        return True

    def give_up(self) -> None:
        """Nothing to do."""


def _wait_on_kafka(record: Record, now: float) -> float:
    """How long it has been there, in seconds; 0 if it bears no time (-1), or one that is still to come."""
    return 0.0 if record.timestamp_ms < 0 else max(0.0, now - record.timestamp_ms / 1000)


def wait_until_joined(intakes: Mapping[str, Intake], check: Callable[[], object], *, timeout: float) -> None:
    """Return when each intake, by the name of its group, has what is its due; `check` raises if it cannot come.

    Raises `DeadlineExceeded` after `timeout` seconds for one of them.
    """
    for group, intake in intakes.items():
        stand = ConsumerGroupState(intake.topic, group)

        def joined(intake: Intake = intake, stand: GroupState = stand) -> bool:
            check()
            return stand.is_balanced({intake.name: intake.status().partitions}, killed=())

        def told(intake: Intake = intake) -> str:
            return shares({intake.name: intake.status().partitions})

        try:
            wait_until_there(joined, timeout=timeout, what=f"{intake.name} was to get its partitions", told=told)
        finally:
            stand.close()
