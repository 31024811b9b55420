"""The state changes of every task as structured log lines, on the logger `labkit.task`.

A line's message is the new state; the facts are attributes of the log record (`extra`), which a JSON formatter writes
out, as that of `labkit work` does (labkit/logs/worker/logging_config.json). They cost nothing where nobody listens.

received → started → done
        │         └→ failed → started …, or → dead
        └→ bad, if the record is no task; or dead, if it is not begun again
        └→ handed_on, when a dispatcher or a bridge has given it to Celery; or shed, if a dispatcher drops it
        └→ spilled, if it was put on a topic for later; or requeued, in a share group, behind the others on its own
"""

from __future__ import annotations

import logging

from labkit.logs.safe_logger import safe_logger
from labkit.measure.task_record import TaskRecord
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.task import Task

log = safe_logger("labkit.task")


class TaskLog:
    """Writes the lines of one worker. `chatty` says whether anybody wants them; it is asked once."""

    def __init__(self, worker: str, topic: str) -> None:
        self._worker = worker
        self._topic = topic
        self.chatty = log.isEnabledFor(logging.INFO)

    def received(self, item: WorkItem) -> None:
        """A record has come."""
        if self.chatty:
            self._write("received", item)

    def started(self, item: WorkItem, task: Task) -> None:
        """An attempt begins."""
        if self.chatty:
            self._write("started", item, task=task.id)

    def handed_on(self, item: WorkItem) -> None:
        """Another queue has the task now."""
        if self.chatty:
            self._write("handed_on", item, task=item.task.id if item.task else None)

    def ended(self, item: WorkItem, record: TaskRecord) -> None:
        """An attempt has ended."""
        if self.chatty:
            seconds = record.finished_at - record.started_at
            error = None if record.error is None else record.error.split("\n", 1)[0]  # the whole is in the record
            self._write(record.outcome, item, task=record.task_id, seconds=seconds, error=error)

    def _write(self, state: str, item: WorkItem, **facts: object) -> None:
        record = item.record
        place = {"topic": self._topic, "partition": record.partition, "offset": record.offset}
        log.info(state, extra={"worker": self._worker, **place, "attempt": item.attempt, **facts})
