"""What goes to Celery: the task, where it was on Kafka, and how it came here. A plain JSON object."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from labkit.errors import BadRecord, UnfitForCelery
from labkit.measure.task_record import TaskRecord
from labkit.taskqueue.engine.work_item import WorkItem
from labkit.taskqueue.record_format import foreign_headers, foreign_payload, is_foreign
from labkit.taskqueue.task import Task, check_depth
from labkit.taskqueue.transport.contract import Headers
from labkit.typed_values import typed

#: So deep a payload may be nested in Celery: it hands tasks to processes by pickle, which gives up before 500, and what
#: cannot be handed on is dropped.
DEEPEST = 300

#: Whole numbers are below this, as in records on Kafka and in Parquet.
_TOO_LARGE = 2**63


class ForeignContent(Struct, frozen=True, kw_only=True):
    """What a record held that others than labkit have written: from its task alone it cannot be made again."""

    key: bytes | None
    value: bytes
    headers: Headers


class Envelope(Struct, frozen=True, kw_only=True):
    """A task on its way through Celery.

    `topic` and `group`, which took it from Kafka, are without the prefix. The `topic_prefix` goes before the topic's
    name on the broker; where it is not told, as by an earlier labkit, it is the one of the worker's settings. `rank` is
    that of its class, 0 the most urgent. `topic_id` is that of the topic from which it came, empty where it is not told
    either. Times are seconds since the epoch: `produced_at` by the record on Kafka, `sent_at` when it was handed to
    Celery's broker. `foreign` is there for a record of others; as JSON it stands in place of payload and headers.
    """

    task: Task
    topic: str
    partition: int
    offset: int
    rank: int
    produced_at: float
    sent_at: float
    group: str | None = None
    topic_prefix: str | None = None
    topic_id: str = ""
    foreign: ForeignContent | None = None

    @classmethod
    def of(
        cls,
        item: WorkItem,
        task: Task,
        *,
        topic: str,
        rank: int,
        at: float,
        group: str | None = None,
        topic_prefix: str | None = None,
    ) -> Self:
        """The envelope for a record that was received."""
        record, foreign = item.record, None
        if is_foreign(record):
            foreign = ForeignContent(key=record.key, value=record.value or b"", headers=record.headers)
        return cls(
            task=task,
            topic=topic,
            partition=record.partition,
            offset=record.offset,
            rank=rank,
            produced_at=record.timestamp_ms / 1000,
            sent_at=at,
            group=group,
            topic_prefix=topic_prefix,
            topic_id=item.topic_id,
            foreign=foreign,
        )

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        told = self if self.foreign is None else replace(self, task=self.task.evolve(payload=None, headers=()))
        found: dict[str, Any] = to_builtins(told)
        return found

    @classmethod
    def from_json(cls, values: object) -> Self:
        """What `to_json` made; raises `BadRecord`, also for what could not be written into a record."""
        try:
            found = typed(values, cls)
            if found.foreign is not None:
                payload = foreign_payload(found.foreign.value, "text")
                headers = foreign_headers(found.foreign.headers)
                found = replace(found, task=found.task.evolve(payload=payload, headers=headers))
            task = found.task
            _check_texts((task.id, task.kind, task.key, task.idempotency_key))
            _check_texts((found.topic, found.group, found.topic_prefix, found.topic_id))
            _check_texts(name for name, _ in task.headers)
            _check_numbers((found.partition, found.offset, found.rank, task.priority, task.attempt))
            _check_times((found.produced_at, found.sent_at, task.created_at, task.scheduled_at))
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise BadRecord(f"A message in Celery's queue is not one of labkit: {error}.") from error
        return found

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


class Delivered(NamedTuple):
    """What a message in Celery's queue asks for: this attempt at the task or, where there is an `outcome` already, that
    it is written."""

    envelope: Envelope
    attempt: int = 1
    outcome: TaskRecord | None = None

    def to_json(self) -> tuple[Any, ...]:
        """As plain values."""
        rest = () if self.outcome is None else (to_builtins(self.outcome),)
        return self.envelope.to_json(), self.attempt, *rest

    @classmethod
    def from_json(cls, envelope: object, attempt: object, outcome: object) -> Self:
        """What `to_json` made; raises `BadRecord`."""
        found = Envelope.from_json(envelope)
        try:
            number = typed(attempt, int)
            _check_numbers((number,))
            return cls(found, number, typed(outcome, TaskRecord | None))
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise BadRecord(f"A message in Celery's queue is not one of labkit: {error}.") from error


def check_for_celery(task: Task) -> None:
    """Raise `UnfitForCelery` for a task that Celery could not hand to every pool."""
    try:
        check_depth(task.payload, DEEPEST)
    except ValueError as error:
        raise UnfitForCelery(f"Celery cannot be handed task {task.id!r}: {error}.") from error


def _check_texts(texts: Iterable[str | None]) -> None:
    for text in texts:
        if text is not None:
            text.encode()  # half of a surrogate pair is no text


def _check_numbers(numbers: Iterable[int]) -> None:
    for number in numbers:
        if not -_TOO_LARGE <= number < _TOO_LARGE:
            raise ValueError("a number in it is larger than 64 bits")


def _check_times(times: Iterable[float | None]) -> None:
    for moment in times:
        if moment is not None and not math.isfinite(moment):
            raise ValueError(f"{moment} is not a time")
