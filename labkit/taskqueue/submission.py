"""A task that was handed over to a client, and its receipt once the client has told what became of it."""

from __future__ import annotations

from collections.abc import Callable

from labkit.errors import NotAcknowledged
from labkit.measure.records import Receipt
from labkit.taskqueue.task import Task
from labkit.taskqueue.transport.contract import RecordMetadata
from labkit.taskqueue.transport.retirement import call_back


class Submission:
    """A task under way. The client calls it once the task is acknowledged or refused; then it has a receipt."""

    __slots__ = ("_clock", "_on_receipt", "_produced_at", "_task", "_topic", "receipt")

    def __init__(
        self,
        task: Task,
        topic: str,
        produced_at: float,
        clock: Callable[[], float],
        on_receipt: Callable[[Receipt], object] | None,
    ) -> None:
        self._task = task
        self._topic = topic
        self._produced_at = produced_at
        self._clock = clock
        self._on_receipt = on_receipt
        self.receipt: Receipt | None = None

    def settled(self) -> Receipt:
        """Its receipt; where the client has not told what became of the task, one that says so."""
        return self.receipt or self._receipt(None, NotAcknowledged("it is not known whether the broker has it"))

    def __call__(self, delivery: RecordMetadata | None, error: Exception | None) -> None:
        """What became of it, told by the client, on any thread."""
        self.receipt = receipt = self._receipt(delivery, error)
        if self._on_receipt is not None:
            call_back(self._on_receipt, receipt)

    def _receipt(self, delivery: RecordMetadata | None, error: Exception | None) -> Receipt:
        task, produced_at = self._task, self._produced_at
        return Receipt(
            task_id=task.id,
            topic=self._topic,
            partition=delivery.partition if delivery else None,
            offset=delivery.offset if delivery else None,
            scheduled_at=produced_at if task.scheduled_at is None else task.scheduled_at,
            produced_at=produced_at,
            acknowledged_at=self._clock() if delivery else None,
            error=None if error is None else str(error),
        )
