"""All that touches the private parts of kafka-python's producer, for the version that `overrides` names.

It mends what the producer does wrong after a failure, and reaches what it has no public call for.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import kafka
import kafka.errors as kafka_errors
from kafka.producer.sender import Sender
from kafka.producer.transaction_manager import TransactionManager, TransactionState

from labkit.errors import PartitionGone
from labkit.taskqueue.timeouts import left_until
from labkit.taskqueue.transport.kafka_python.overrides import END_TIMEOUT, REFUSALS

#: How long before its time is up a batch counts as overdue, in seconds, so that none is found so while one is sent.
_EXPIRY_MARGIN = 0.005
#: What cannot be mended by asking for a producer id again.
_FATAL = (*REFUSALS, kafka_errors.UnsupportedVersionError)


def make_lasting(client: kafka.KafkaProducer) -> None:
    """Let an idempotent producer go on after what kafka-python does not get over.

    When it gives up a batch that was sent, it drops the producer's id and never asks for another; any other refusal of
    a batch is the end of the producer; and while it waits for an id, it gives up nothing at all. Any producer tries to
    send to a partition that is gone until its time is up.
    """
    client._sender.__class__ = _KnowingSender
    if client._transaction_manager is not None:
        client._transaction_manager.__class__, client._sender.__class__ = _LastingId, _LastingSender


class _LastingId(TransactionManager):  # type: ignore[misc]
    """Asks for a new id whenever it is open how much was written under the old one."""

    _current_state: TransactionState

    def reset_producer_id(self) -> None:
        with self._lock:
            super().reset_producer_id()
            if self._current_state is TransactionState.READY:
                self._current_state = TransactionState.UNINITIALIZED

    def transition_to_fatal_error(self, exc: Exception) -> None:
        if isinstance(exc, _FATAL):
            super().transition_to_fatal_error(exc)
            return
        with self._lock:  # as when the broker did not answer the request for an id
            super().reset_producer_id()
            self._current_state = TransactionState.UNINITIALIZED

    def classify_batch_error(self, error: Any, batch: Any, log_start_offset: int = -1) -> str:
        if isinstance(error, kafka_errors.ClusterAuthorizationFailedError):
            return str(self.ERROR_CLASS_FATAL)
        was_sent = batch.drained is not None and self.producer_id_and_epoch.match(batch)
        return str(self.ERROR_CLASS_NEEDS_PRODUCER_ID_RESET if was_sent else self.ERROR_CLASS_RETRIABLE)


class _KnowingSender(Sender):  # type: ignore[misc]
    """Gives up at once what is for a partition that is gone."""

    def run_once(self) -> None:
        for place, queue in list(self._accumulator._batches.items()):
            if queue and place.partition not in (self._metadata.partitions_for_topic(place.topic) or [place.partition]):
                with self._accumulator._tp_lock(place):
                    gone = [queue.popleft() for _ in range(len(queue))]
                for batch in gone:
                    batch.records.close()
                    self._complete_batch_with_exception(batch, PartitionGone("there is no such partition"))
        super().run_once()


class _LastingSender(_KnowingSender):
    """Gives batches up when their time is over, whatever it waits for itself."""

    def run_once(self) -> None:
        now = time.monotonic() + _EXPIRY_MARGIN
        if not self._transaction_manager.has_producer_id() or self._accumulator.next_expiry_time_ms <= now * 1000:
            for batch in self._accumulator.expired_batches(now=now) + self._overdue_in_flight(now):
                self._complete_batch_with_exception(batch, kafka_errors.KafkaTimeoutError("its time is up"))
        super().run_once()

    def _overdue_in_flight(self, now: float) -> list[Any]:
        found = []
        for partition, queue in list(self._in_flight_batches.items()):
            while queue and queue[0][1].has_reached_delivery_timeout(self._accumulator.delivery_timeout_ms, now=now):
                _, batch = heapq.heappop(queue)
                if batch.final_state is None:
                    found.append(batch)
            if not queue:
                del self._in_flight_batches[partition]
        return found

    def _can_retry(self, batch: Any, error_cls: type[Exception]) -> bool:
        # also under an id that was given up since: what this partition had before it was written
        now = time.monotonic() + _EXPIRY_MARGIN
        is_late = batch.has_reached_delivery_timeout(self._accumulator.delivery_timeout_ms, now=now)
        is_over = is_late or batch.final_state is not None or batch.attempts >= self.config["retries"]
        return issubclass(error_cls, kafka_errors.RetriableError) and not is_over

    def _maybe_send_pending_request(self) -> bool:
        """Only to a node that is ready: the library would do nothing else until one is."""
        if self._transaction_manager._pending_requests:
            node = self._client.least_loaded_node()
            if node is None or not self._client.is_ready(node):
                if node is not None:
                    self._client.maybe_connect(node)
                return True  # it polls, and comes back
        return bool(super()._maybe_send_pending_request())


def is_beyond_help(client: kafka.KafkaProducer) -> bool:
    """Whether a producer can send nothing any more, so that it has to be made anew."""
    manager = client._transaction_manager
    return (manager is not None and manager.has_fatal_error()) or not client._sender.is_alive()


def discard(client: kafka.KafkaProducer) -> None:
    """Close a producer at once. What it has not delivered is refused."""
    client._sender.force_close()
    client._sender.join(END_TIMEOUT)
    if client._sender.is_alive():
        client._accumulator.abort_incomplete_batches()
    with suppress(kafka_errors.KafkaTimeoutError):
        client.close(0)


def settle(client: kafka.KafkaProducer, begin: Callable[[TransactionManager], Any], deadline: float) -> None:
    """Begin a step of a transaction and wait for its end, which the library does without a deadline."""
    step = begin(client._transaction_manager)
    client._sender.wakeup()
    if not step.wait(int(left_until(deadline) * 1000)):
        raise kafka_errors.KafkaTimeoutError("the broker did not answer in time")


def last_error(client: kafka.KafkaProducer) -> Exception | None:
    """What went wrong first, in a transaction or for good; it tells more than what the library says of it later."""
    return getattr(client._transaction_manager, "last_error", None)
