"""All that touches kafka-python's private parts, made for the version named here; a test fails when they move.

What is of its network client stands in `network_overrides`, and of what a consumer fetches in `fetch_overrides`.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import kafka
import kafka.errors as kafka_errors
from kafka.future import Future
from kafka.producer.sender import Sender
from kafka.producer.transaction_manager import TransactionManager, TransactionState
from kafka.record.default_records import DefaultRecordBatch

from labkit.taskqueue.timeouts import left_until
from labkit.taskqueue.transport.kafka_python.network_overrides import END_TIMEOUT, REFUSALS
from labkit.taskqueue.transport.values import NAME_UNREADABLE

#: The version of kafka-python whose private parts these are.
MADE_FOR = "3.0.12"

#: How long before its time is up a batch counts as overdue, in seconds, so that none is found so while one is sent.
_EXPIRY_MARGIN = 0.005

#: What cannot be mended by asking for a producer id again.
_FATAL = (*REFUSALS, kafka_errors.UnsupportedVersionError)


def ask_broker(admin: Any, request: Any, *, group: str | None = None) -> Any:
    """The answer to any request: that of the group's coordinator where one is named, else of any broker."""

    async def ask() -> Any:
        coordinators = {} if group is None else await admin._find_coordinator_ids([group])
        return await admin._manager.send(request, node_id=coordinators.get(group))

    return admin._manager.run(ask)


def forget_places(admin: Any) -> None:
    """Let an admin client find anew which broker answers for a group, and which for changes; it never does itself."""
    admin._controller_id = None
    admin._manager.cluster._coordinators.clear()


def position_of(client: kafka.KafkaConsumer, partition: kafka.TopicPartition) -> tuple[bool, int | None]:
    """Whether the consumer has the partition, and from where it goes on, as far as it knows without asking."""
    state = client._subscription.assignment.get(partition)
    return state is not None, state.position.offset if state is not None and state.position is not None else None


def forget_positions(client: kafka.KafkaConsumer) -> None:
    """Let a consumer that gave up its partitions know no position of any of them."""
    client._subscription.assign_from_subscribed([])


def let_go(client: kafka.KafkaConsumer) -> None:
    """Close the sockets of a consumer that could not be closed properly."""
    client._client.close()


def callback_under_way(client: kafka.KafkaConsumer) -> tuple[Future, Callable[[], object]]:
    """What the I/O thread may await while a callback of a rebalance runs, and what is to be called at its end."""
    done, net = Future(), client._net

    def end() -> None:
        net.callbacks.discard(done)
        with suppress(RuntimeError):  # the client was closed meanwhile, so nobody waits any more
            net.call_soon_threadsafe(lambda: done.success(None))

    net.callbacks.add(done)
    return done, end


def keep_join(client: kafka.KafkaConsumer) -> None:
    """Call it before each `poll`, so that a join that ended since the last one counts.

    kafka-python goes on joining when `poll` runs out of time. But the next one throws away a join that has ended in
    between and starts another, which sends all members into a rebalance again; or, where a topic grew, joins no more.
    """
    coordinator = client._coordinator
    join = coordinator._join_task
    if join is not None:
        coordinator.request_rejoin()
        if not isinstance(join, _KeptJoin):
            coordinator._join_task = _KeptJoin(join)


class _KeptJoin:
    """A join under way or ended, which looks unfinished until its result has been fetched."""

    is_done = False

    def __init__(self, join: Future) -> None:
        self.add_callback, self.add_errback = join.add_callback, join.add_errback


class _Forgiving(bytes):
    """The bytes of a batch, in which the names of headers may be no UTF-8."""

    def __getitem__(self, where: Any) -> Any:
        part = super().__getitem__(where)
        return part if isinstance(part, int) else _Forgiving(part)

    def decode(self, *_: Any) -> str:
        return super().decode(errors="backslashreplace")


_read_strictly = DefaultRecordBatch._read_msg


def _read_msg(batch: Any) -> Any:
    """The next record of a batch; kafka-python reads no further than one with a header whose name is no UTF-8."""
    try:
        return _read_strictly(batch)
    except UnicodeDecodeError:
        buffer, batch._buffer = batch._buffer, _Forgiving(batch._buffer)
        try:
            record = _read_strictly(batch)
        finally:
            batch._buffer = buffer
    record._headers.append(NAME_UNREADABLE)
    return record


DefaultRecordBatch._read_msg = _read_msg


def make_lasting(client: kafka.KafkaProducer) -> None:
    """Let an idempotent producer go on: when kafka-python gives up a batch that was sent, it drops the id and never
    asks for another; any other refusal of a batch is its end; and while it waits for an id, it gives up nothing.
    """
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


class _LastingSender(Sender):  # type: ignore[misc]
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


def is_sender_of(client: kafka.KafkaProducer) -> bool:
    """Whether this thread is the one that sends for this producer, and calls back."""
    return threading.current_thread() is client._sender


def records_under_way(client: kafka.KafkaProducer) -> int:
    """How many records it has taken that are neither acknowledged nor refused."""
    return sum(batch.record_count for batch in client._accumulator._incomplete.all())


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
