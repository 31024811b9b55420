"""What brings the tasks of one class from Kafka to the dispatcher: a worker that works on nothing itself.

It is `labkit.taskqueue.worker.Worker` in everything that concerns Kafka: offsets are committed when their tasks are in
Celery, or dropped, or dead letters; what is finished beyond the commit point is remembered; rebalances and dead letters
are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from labkit.dispatch.waiting_line import WaitingLine
from labkit.policies import Backlog, PriorityClass
from labkit.taskqueue.engine.attempts import Attempts
from labkit.taskqueue.engine.executors import Executor
from labkit.taskqueue.engine.work import Work
from labkit.taskqueue.worker import Worker


class Intake(Worker):
    """Fills its `line` and settles what the dispatcher reports to `attempts`."""

    # no task runs in this process, so none is to blame when it dies
    _may_be_killed = False

    @property
    def line(self) -> WaitingLine:
        """Who waits."""
        return cast(WaitingLine, self._lanes)

    @property
    def attempts(self) -> Attempts:
        """Who is told what became of each task."""
        return self._attempts

    def backlog(self, known: PriorityClass) -> Backlog:
        """What waits, as the policies see it; `known` is its class. A task has arrived when it came to Kafka."""
        waiting, head = len(self.line), self.line.head()
        if head is None or not waiting:
            return Backlog(waiting=0, arrived_at=None, deadline=None)
        arrived = head.record.timestamp_ms / 1000
        due = None if known.relative_deadline is None else arrived + known.relative_deadline
        return Backlog(waiting=waiting, arrived_at=arrived, deadline=due)

    def tell(self, call: Callable[[], object]) -> None:
        """Call this whenever the line has changed; to be set before `run`."""
        self.line.on_change = call

    def _new_lanes(self) -> WaitingLine:
        return WaitingLine()

    def _new_executor(self, work: Work) -> Executor:
        return _Nobody()


class _Nobody:
    """The dispatcher comes by itself."""

    def start(self) -> None:
        """Nothing to do."""

    def join(self) -> None:
        """Nothing to do."""
