"""A task that was handed over to a client, and its receipt once the client has told what became of it."""

from __future__ import annotations

from collections.abc import Callable

from labkit.errors import NotAcknowledged, PartitionGone
from labkit.measure.records import Receipt
from labkit.taskqueue.task import Task
from labkit.taskqueue.transport.contract import RecordMetadata
from labkit.taskqueue.transport.retirement import call_back


class Submission:
    """A task under way. The client calls it once the task is acknowledged or refused; then it has a receipt.

    `on_return` gets it instead, the first time, if its partition is gone. `begun` is when it was handed over first, by
    a clock that only measures.
    """

    __slots__ = ("_clock", "_on_receipt", "_on_return", "_topic", "begun", "produced_at", "receipt", "task")

    def __init__(
        self,
        task: Task,
        topic: str,
        produced_at: float,
        clock: Callable[[], float],
        on_receipt: Callable[[Receipt], object] | None,
        *,
        begun: float = 0.0,
        on_return: Callable[[Submission, Exception], object] | None = None,
    ) -> None:
        self.task = task
        self._topic = topic
        self.produced_at = produced_at
        self._clock = clock
        self._on_receipt = on_receipt
        self.begun = begun
        self._on_return = on_return
        self.receipt: Receipt | None = None

    def settled(self) -> Receipt:
        """Its receipt; where the client has not told what became of the task, one that says so."""
        return self.receipt or self._receipt(None, NotAcknowledged("it is not known whether the broker has it"))

    def __call__(self, delivery: RecordMetadata | None, error: Exception | None) -> None:
        """What became of it, told by the client, on any thread."""
        if self._on_return is not None and isinstance(error, PartitionGone):
            on_return, self._on_return = self._on_return, None
            on_return(self, error)
            return
        self.receipt = receipt = self._receipt(delivery, error)
        if self._on_receipt is not None:
            call_back(self._on_receipt, receipt)

    def _receipt(self, delivery: RecordMetadata | None, error: Exception | None) -> Receipt:
        task, produced_at = self.task, self.produced_at
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
