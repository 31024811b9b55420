"""What becomes of each attempt: its record, and whether its task is done, waits to be tried again, or is given up."""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from labkit.errors import BadRecord, InProgress
from labkit.measure.records import BAD, DEAD, DONE, FAILED, SHED, SPILLED, TaskRecord
from labkit.taskqueue.engine.shard import Shards
from labkit.taskqueue.engine.task_log import TaskLog
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.task import Task

#: Stands in the record of what was no task.
_NO_TASK = Task(id="", kind="")

#: When to look again at a task that is worked on elsewhere, in seconds.
LOOK_AGAIN = 1.0

log = logging.getLogger("labkit.worker")


class Attempts:
    """Begins and ends the attempts of one worker; used by all threads of its executor.

    Items that are through are left in `done` or `dead`, from which the worker takes them.
    `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        lanes: Shards,
        *,
        topic: str,
        worker: str,
        retry: Retry,
        rng: random.Random,
        on_record: Callable[[TaskRecord], object],
        clock: Callable[[], float],
    ) -> None:
        self.done: deque[WorkItem] = deque()
        self.dead: deque[WorkItem] = deque()
        #: how many attempts did not end well
        self.failures = 0
        self._counting = threading.Lock()
        self._lanes = lanes
        self._topic = topic
        self._worker = worker
        self._retry = retry
        self._rng = rng
        self._on_record = on_record
        self._clock = clock
        self.journal = TaskLog(worker, topic)

    def begin(self, item: WorkItem) -> Task | None:
        """The task to work on; None if the record is not one, and there is nothing more to do with it."""
        item.started_at = self._clock()
        item.attempt += 1
        if item.task is None:
            try:
                item.task = Task.decode(item.record)
            except BadRecord as error:
                self._give_up(item, BAD, error)
                self._lanes.done(item)
                return None
        self.journal.started(item, item.task)
        return item.task

    def end(self, item: WorkItem, error: BaseException | None) -> None:
        """The handler has returned, or has raised this error."""
        if error is None:
            self._write(item, DONE, None)
            self.done.append(item)
            self._lanes.done(item)
            return
        if is_in_progress(error):
            item.attempt -= 1  # somebody else is at it: that is no failure of this task
            self._lanes.postpone(item, LOOK_AGAIN)
            return
        delay = self._retry.delay(item.attempt, self._rng)
        if delay is None:
            self._give_up(item, DEAD, error)
            self._lanes.done(item)
        else:
            self._write(item, FAILED, describe(error))
            self._lanes.postpone(item, delay)

    def hand_on(self, item: WorkItem) -> None:
        """Somebody else has the task now, and will leave the record of what becomes of it."""
        self.journal.handed_on(item)
        self.done.append(item)
        self._lanes.done(item)

    def shed(self, item: WorkItem, reason: str) -> None:
        """The task is dropped on purpose, unbegun."""
        self._put_away(item, SHED, reason)

    def spill(self, item: WorkItem, where: str) -> None:
        """The task stands on another topic now, for later."""
        self._put_away(item, SPILLED, where)

    def _put_away(self, item: WorkItem, outcome: str, reason: str) -> None:
        self._look_into(item)
        self._write(item, outcome, reason)
        self.done.append(item)
        self._lanes.done(item)

    def refuse(self, item: WorkItem, error: BaseException, *, deliveries: int) -> None:
        """This task is not begun again, after so many deliveries."""
        item.started_at = self._clock()
        item.attempt = deliveries
        self._look_into(item)
        self._give_up(item, DEAD, error)

    @staticmethod
    def _look_into(item: WorkItem) -> None:
        """See which task it is, for the record; one that is unreadable has none."""
        with suppress(BadRecord):
            item.task = Task.decode(item.record)

    def _give_up(self, item: WorkItem, outcome: str, error: BaseException) -> None:
        item.error = error
        self._write(item, outcome, describe(error))
        self.dead.append(item)

    def _write(self, item: WorkItem, outcome: str, error: str | None) -> None:
        record, task = item.record, item.task or _NO_TASK
        produced_at = record.timestamp_ms / 1000
        written = TaskRecord(
            task_id=task.id,
            kind=task.kind,
            topic=self._topic,
            partition=record.partition,
            offset=record.offset,
            key=task.key,
            priority=task.priority,
            worker=self._worker,
            attempt=task.attempt + max(0, item.attempt - 1),
            scheduled_at=produced_at if task.scheduled_at is None else task.scheduled_at,
            produced_at=produced_at,
            acknowledged_at=None,
            received_at=item.received_at,
            started_at=item.started_at,
            finished_at=self._clock(),
            outcome=outcome,
            error=error,
        )
        self._on_record(written)
        self.journal.ended(item, written)
        if outcome != DONE:
            with self._counting:
                self.failures += 1
            name = task.id or f"at offset {record.offset} of partition {record.partition}"
            # what is dropped on purpose is no news, and may be many
            level = logging.INFO if outcome in (SHED, SPILLED) else logging.WARNING
            log.log(level, "%s: task %s is %s after attempt %d: %s", self._worker, name, outcome, item.attempt, error)


def is_in_progress(error: BaseException) -> bool:
    """Whether the handler has found that its task is worked on elsewhere (see `labkit.taskqueue.once`)."""
    return isinstance(error, InProgress) or (
        isinstance(error, RemoteError) and str(error).startswith(f"{InProgress.__name__}:")
    )


class RemoteError(Exception):
    """What a handler raised in another process, as it was described there."""


def describe(error: BaseException) -> str:
    """An error in one line, as records and dead letters hold it."""
    if isinstance(error, RemoteError):
        return str(error)
    return f"{type(error).__name__}: {error}"
