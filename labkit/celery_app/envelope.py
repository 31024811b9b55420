"""What goes to Celery: the task, where it was on Kafka, and how it came here. A plain JSON object."""

from __future__ import annotations

from typing import Any, Self

from msgspec import Struct, ValidationError, convert, to_builtins

from labkit.errors import BadRecord
from labkit.measure.records import TaskRecord
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.task import Task


class Envelope(Struct, frozen=True, kw_only=True):
    """A task on its way through Celery.

    `topic` is without the prefix. `rank` is that of its class, 0 the most urgent. Times are seconds since the epoch:
    `produced_at` by the record on Kafka, `sent_at` when it was handed to Celery's broker.
    """

    task: Task
    topic: str
    partition: int
    offset: int
    rank: int
    produced_at: float
    sent_at: float

    @classmethod
    def of(cls, item: WorkItem, task: Task, *, topic: str, rank: int, at: float) -> Self:
        """The envelope for a record that was received."""
        record = item.record
        return cls(
            task=task,
            topic=topic,
            partition=record.partition,
            offset=record.offset,
            rank=rank,
            produced_at=record.timestamp_ms / 1000,
            sent_at=at,
        )

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        found: dict[str, Any] = to_builtins(self)
        return found

    @classmethod
    def from_json(cls, values: object) -> Self:
        """What `to_json` made; raises `BadRecord`."""
        try:
            return convert(values, cls)
        except ValidationError as error:
            raise BadRecord(f"A message in Celery's queue is not one of labkit: {error}.") from error

    def record(
        self, outcome: str, *, worker: str, attempt: int, started_at: float, finished_at: float, error: str | None
    ) -> TaskRecord:
        """The record of one attempt in Celery. It was received when it was handed to Celery's broker."""
        task = self.task
        return TaskRecord(
            task_id=task.id,
            kind=task.kind,
            topic=self.topic,
            partition=self.partition,
            offset=self.offset,
            key=task.key,
            priority=self.rank,
            worker=worker,
            attempt=attempt,
            scheduled_at=self.produced_at if task.scheduled_at is None else task.scheduled_at,
            produced_at=self.produced_at,
            acknowledged_at=None,
            received_at=self.sent_at,
            started_at=started_at,
            finished_at=finished_at,
            outcome=outcome,
            error=error,
        )
