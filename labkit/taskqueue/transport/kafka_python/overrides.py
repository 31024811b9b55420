"""All that touches kafka-python's private parts, made for the version named here; a test fails when they move.

Some of it mends what the library does wrong after a failure, some reaches what it has no public call for. The rest of
the transport knows its public names only.
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
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.producer.sender import Sender
from kafka.producer.transaction_manager import TransactionManager, TransactionState

from labkit.taskqueue.timeouts import left_until

#: The version of kafka-python whose private parts these are.
MADE_FOR = "3.0.12"

#: How often a call that waits looks whether the I/O thread still runs, in seconds.
_LOOK_INTERVAL = 1.0
#: How long the library's threads may take to end, in seconds. They are daemons; one that does not end holds up nobody.
END_TIMEOUT = 2.0
#: How long before its time is up a batch counts as overdue, in seconds, so that none is found so while one is sent.
_EXPIRY_MARGIN = 0.005

REFUSALS = (
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.IllegalSaslStateError,
    kafka_errors.AuthorizationError,
)
#: What cannot be mended by asking for a producer id again.
_FATAL = (*REFUSALS, kafka_errors.UnsupportedVersionError)


def open_network(limit: float, **config: Any) -> KafkaNetClient:
    """A network client whose calls end within `limit` seconds, and which tells who was refused."""
    net = _BoundedSelector(limit, **config)
    return KafkaNetClient(net, _Manager(net, **config), **config)


class _BoundedSelector(NetworkSelector):  # type: ignore[misc]  # kafka-python has no types
    """Waits no longer than `limit` seconds for its I/O thread; the library waits for ever.

    What the caller itself does meanwhile, in the callbacks of a rebalance, does not count.
    """

    def __init__(self, limit: float, **config: Any) -> None:
        super().__init__(**config)
        self._limit = limit
        #: the callbacks of a rebalance that run now
        self.callbacks: set[Future] = set()

    def run(self, coro: Any, *args: Any) -> Any:
        if self._closed:
            raise kafka_errors.KafkaConnectionError("The client is closed.")
        if self._io_thread is None or threading.current_thread() is self._io_thread:
            return super().run(coro, *args)
        done = threading.Event()
        answer = self.call_soon_with_future(coro, *args)
        answer.add_both(lambda _: done.set())
        deadline = time.monotonic() + self._limit
        while not done.wait(min(_LOOK_INTERVAL, left_until(deadline))):
            thread = self._io_thread
            if thread is None or not thread.is_alive():
                raise kafka_errors.KafkaConnectionError("The client's I/O thread has ended.")
            if self.callbacks:
                deadline = time.monotonic() + self._limit
            elif not left_until(deadline):
                raise kafka_errors.KafkaTimeoutError(f"The client did not answer within {self._limit:g} s.")
        if answer.exception is not None:
            raise answer.exception
        return answer.value

    def stop(self, timeout_ms: float | None = None) -> None:
        super().stop(END_TIMEOUT * 1000 if timeout_ms is None else timeout_ms)


class _Manager(KafkaConnectionManager):  # type: ignore[misc]
    """Notes who was refused, so that the next try raises it; kafka-python tries until the time is up."""

    async def _connect(self, node: Any, conn: Any, **options: Any) -> None:
        await super()._connect(node, conn, **options)
        error = conn.init_future.exception
        if isinstance(error, REFUSALS):
            self._auth_failures[node.node_id] = error

    async def _build_transport(self, node: Any, **options: Any) -> Any:
        return _heard_out(await super()._build_transport(node, **options))


def _heard_out(transport: Any) -> Any:
    """Reads what came before the connection was closed, then the close: kafka-python drops both when it finds
    them together, as with a broker's refusal on a busy computer."""
    receive = transport._sock_recv

    def data_first() -> tuple[bytes, Exception | None]:
        data, error = receive()
        return data, None if data else error

    transport._sock_recv = data_first
    return transport


def ask_group_coordinator(admin: Any, group: str, request: Any) -> Any:
    """The answer of the group's coordinator to any request, as kafka-python's own requests on groups get theirs."""

    async def ask() -> Any:
        coordinators = await admin._find_coordinator_ids([group])
        return await admin._manager.send(request, node_id=coordinators[group])

    return admin._manager.run(ask)


def position_of(client: kafka.KafkaConsumer, partition: kafka.TopicPartition) -> tuple[bool, int | None]:
    """Whether the consumer has the partition, and from where it goes on, as far as it knows without asking."""
    state = client._subscription.assignment.get(partition)
    known = state is not None and state.position is not None
    return state is not None, int(state.position.offset) if known else None


def forget_positions(client: kafka.KafkaConsumer) -> None:
    """Let a consumer that gave up its partitions know no position of any of them."""
    client._subscription.assign_from_subscribed([])


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

    When `poll` runs out of time while the group rebalances, kafka-python goes on joining in the
    background. But the next `poll` throws away a join that has ended in between and starts another, and each of
    these sends all other members into a rebalance again; or, where a topic grew, it believes that there is nothing
    to join, and the member has no partitions from then on.
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
        self._join = join

    def add_callback(self, callback: Callable[[object], object]) -> None:
        self._join.add_callback(callback)

    def add_errback(self, callback: Callable[[object], object]) -> None:
        self._join.add_errback(callback)


def make_lasting(client: kafka.KafkaProducer) -> None:
    """Let an idempotent producer go on after what kafka-python does not get over.

    When a batch that was sent is given up, the library drops the producer's id and never asks for another; any other
    refusal of a batch is the end of the producer; and while it waits for an id, nothing is given up at all.
    """
    if client._transaction_manager is not None:
        client._transaction_manager.__class__ = _LastingId
        client._sender.__class__ = _LastingSender


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
        found: str = super().classify_batch_error(error, batch, log_start_offset)
        if found == self.ERROR_CLASS_FATAL and isinstance(error, kafka_errors.ClusterAuthorizationFailedError):
            return found
        was_sent = batch.drained is not None and self.producer_id_and_epoch.match(batch)
        return str(self.ERROR_CLASS_NEEDS_PRODUCER_ID_RESET if was_sent else self.ERROR_CLASS_RETRIABLE)


class _LastingSender(Sender):  # type: ignore[misc]
    """Gives batches up when their time is over, whatever it waits for itself."""

    def run_once(self) -> None:
        now = time.monotonic() + _EXPIRY_MARGIN
        if not self._transaction_manager.has_producer_id() or self._accumulator.next_expiry_time_ms <= now * 1000:
            self._give_up_overdue(now)
        super().run_once()

    def _give_up_overdue(self, now: float) -> None:
        for batch in self._accumulator.expired_batches(now=now) + self._overdue_in_flight(now):
            self._complete_batch_with_exception(batch, kafka_errors.KafkaTimeoutError("its time is up"))

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
        return (
            batch.final_state is None
            and batch.attempts < self.config["retries"]
            and issubclass(error_cls, kafka_errors.RetriableError)
            and not batch.has_reached_delivery_timeout(self._accumulator.delivery_timeout_ms, now=now)
        )

    def _maybe_send_pending_request(self) -> bool:
        """Only to a node that is ready: the library would do nothing else until one is."""
        if self._transaction_manager._pending_requests:
            node = self._client.least_loaded_node()
            if node is None or not self._client.is_ready(node):
                if node is None:
                    self._metadata.request_update()
                else:
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
    manager = client._transaction_manager
    return None if manager is None else manager.last_error
