"""What becomes of each attempt: its record, and whether its task is done, waits to be tried again, or is given up."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from labkit.logs.safe_logger import safe_logger
from labkit.measure.task_record import BAD, DEAD, DONE, FAILED, NO_ATTEMPTS, REQUEUED, SHED, SPILLED, TaskRecord
from labkit.plain_text import InLines
from labkit.taskqueue.engine.failure import FailureCounter, describe, is_news, is_no_attempt
from labkit.taskqueue.engine.handler import begin_on_topic
from labkit.taskqueue.engine.shard import Shards
from labkit.taskqueue.engine.task_log import TaskLog
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.record_format import ForeignRecords
from labkit.taskqueue.task import Task

#: Stands in the record of what was no task.
_NO_TASK = Task(id="", kind="")

#: What a record can hold. A task may come with any number of attempts behind it, also with this one.
LARGEST_ATTEMPT = 2**63 - 1

#: When to look again at a task that is worked on elsewhere, or for which something is away, in seconds.
LOOK_AGAIN = 1.0

log = safe_logger("labkit.worker")


class Attempts:
    """Begins and ends the attempts of one worker; used by all threads of its executor.

    Items that are through are left in `done` or `dead`, from which the worker takes them. The first failure of each
    kind in `told` is recorded whole, with the handler's own line; of the others it is recorded what was raised.
    `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        shards: Shards,
        *,
        topic: str,
        worker: str,
        retry: Retry,
        foreign: ForeignRecords = "json",
        rng: random.Random,
        on_record: Callable[[TaskRecord], object],
        clock: Callable[[], float],
        measure: Callable[[], float] = time.monotonic,
        told: FailureCounter | None = None,
    ) -> None:
        self.done: deque[WorkItem] = deque()
        self.dead: deque[WorkItem] = deque()
        #: what is worked on now, also what the worker has given up meanwhile
        self.running: dict[WorkItem, None] = {}
        #: how many attempts did not end well
        self.failures = 0
        #: tasks that were dropped, or stand elsewhere: neither done nor failed
        self.put_away = 0
        self._counting = threading.Lock()
        self._shards = shards
        self._topic = topic
        self._worker = worker
        self._retry = retry
        self._foreign = foreign
        self._rng = rng
        self._on_record = on_record
        self._clock = clock
        self._measure = measure
        self._told = told or FailureCounter()
        self.task_log = TaskLog(worker, topic)

    def begin(self, item: WorkItem) -> Task | None:
        """The task to work on; None if the record is not one, and there is nothing more to do with it."""
        self._start(item)
        item.attempt += 1
        if item.task is None:
            try:
                item.task = self._task_in(item)
            except Exception as error:  # noqa: BLE001 - mostly `BadRecord`; whatever else it is, this record is to blame
                self._give_up(item, BAD, error, describe(error))
                self._shards.done(item)
                return None
        begin_on_topic(item.topic_id)
        self.task_log.started(item, item.task)
        self.running[item] = None
        return item.task if item.attempt == 1 else item.task.evolve(attempt=_attempt(item, item.task))

    def end(self, item: WorkItem, error: BaseException | None) -> None:
        """The handler has returned, or has raised this error."""
        self.running.pop(item, None)
        if error is None:
            self._write(item, DONE, None)
            self.done.append(item)
            self._shards.done(item)
            return
        if is_no_attempt(error):
            item.attempt -= 1  # somebody else is at it, or labkit lacks what it needs: no failure of this task
            self._shards.postpone(item, LOOK_AGAIN, behind=True)
            return
        text, number = self._told.tell(error)
        BaseException.with_traceback(error, None)  # it holds everything that the handler had in hand
        delay = self._retry.delay(item.attempt, self._rng)
        if delay is None:
            self._give_up(item, DEAD, error, text, number)
            self._shards.done(item)
        else:
            self._write(item, FAILED, text, number)
            self._shards.postpone(item, delay)

    def hand_on(self, item: WorkItem) -> None:
        """Somebody else has the task now, and will leave the record of what becomes of it."""
        self.task_log.handed_on(item)
        self.done.append(item)
        self._shards.done(item)

    def shed(self, item: WorkItem, reason: str) -> None:
        """The task is dropped on purpose, unbegun."""
        self._put_away(item, SHED, reason)

    def spill(self, item: WorkItem, where: str) -> None:
        """The task stands on another topic now, for later."""
        self._put_away(item, SPILLED, where)

    def requeue(self, item: WorkItem, why: str) -> None:
        """The task stands behind the others on its own topic now, as a record of its own."""
        self._put_away(item, REQUEUED, why)

    def sum_up(self) -> None:
        """Report how many failures there were of each kind, besides the first; at the end of the worker."""
        for kind, count in self._told.take_repeated().items():
            log.warning("%s: %d further attempts failed in the same way: %s", self._worker, count, kind)

    def _put_away(self, item: WorkItem, outcome: str, reason: str) -> None:
        self._look_into(item)
        self._write(item, outcome, reason)
        self.done.append(item)
        self._shards.done(item)

    def refuse(self, item: WorkItem, error: BaseException, *, deliveries: int) -> None:
        """This task is not begun again, after so many deliveries."""
        self._start(item)
        item.attempt = deliveries
        self._look_into(item)
        self._give_up(item, DEAD, error, describe(error))

    def _look_into(self, item: WorkItem) -> None:
        """See which task it is, for the record; one that is unreadable has none."""
        with suppress(Exception):
            item.task = self._task_in(item)

    def _task_in(self, item: WorkItem) -> Task:
        """The task in its record; raises `BadRecord`."""
        return Task.decode(item.record, topic_id=item.topic_id, foreign=self._foreign)

    def _give_up(self, item: WorkItem, outcome: str, error: BaseException, text: str, number: int = 1) -> None:
        item.error = error
        self._write(item, outcome, text, number)
        self.dead.append(item)

    def _start(self, item: WorkItem) -> None:
        item.started_at, item.begun_at = self._clock(), self._measure()

    def _end_of(self, item: WorkItem) -> float:
        """When it has ended, if the clock was not set since it was begun: so long it has taken."""
        if item.begun_at is None:
            return max(item.started_at, self._clock())
        return item.started_at + (self._measure() - item.begun_at)

    def _write(self, item: WorkItem, outcome: str, error: str | None, number: int = 1) -> None:
        """Leave the record; `number` says the how-manieth failure of its kind it is."""
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
            attempt=_attempt(item, task),
            scheduled_at=produced_at if task.scheduled_at is None else task.scheduled_at,
            produced_at=produced_at,
            acknowledged_at=None,
            received_at=item.received_at,
            started_at=item.started_at,
            finished_at=self._end_of(item),
            outcome=outcome,
            error=error,
        )
        self._on_record(written)
        self.task_log.ended(item, written)
        if outcome != DONE:
            is_put_away = outcome in NO_ATTEMPTS
            with self._counting:
                self.put_away += is_put_away
                self.failures += not is_put_away
            name = task.id or f"at offset {record.offset} of partition {record.partition}"
            # what is dropped on purpose is no news, and may be many; so may be what fails for one and the same reason
            level = logging.INFO if is_put_away or not is_news(number) else logging.WARNING
            why = "" if error is None else InLines(error)
            log.log(level, "%s: task %s is %s after attempt %d: %s", self._worker, name, outcome, item.attempt, why)


def _attempt(item: WorkItem, task: Task) -> int:
    """Which attempt at the task in this record the item is at; one that was never begun counts as its first."""
    return min(task.attempt + max(item.attempt - 1, 0), LARGEST_ATTEMPT)
