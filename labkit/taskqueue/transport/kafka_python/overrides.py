"""All that touches kafka-python's private parts, but for the producer's (`producer_overrides`), made for the version
named here; a test fails when they move.

Some of it mends what the library does wrong after a failure, some reaches what it has no public call for.
"""

from __future__ import annotations

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
from kafka.record.default_records import DefaultRecordBatch

from labkit.taskqueue.timeouts import left_until
from labkit.taskqueue.transport.values import NAME_UNREADABLE

#: The version of kafka-python whose private parts these are.
MADE_FOR = "3.0.12"

#: How often a call that waits looks whether the I/O thread still runs; and how long the library's threads may take to
#: end, in seconds. They are daemons, so one that does not end holds up nobody.
_LOOK_INTERVAL, END_TIMEOUT = 1.0, 2.0

_SASL = (kafka_errors.SaslAuthenticationFailedError, kafka_errors.UnsupportedSaslMechanismError)
REFUSALS = (*_SASL, kafka_errors.IllegalSaslStateError, kafka_errors.AuthorizationError)


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
        if self._io_thread in (None, threading.current_thread()):
            return super().run(coro, *args)
        done, answer = threading.Event(), self.call_soon_with_future(coro, *args)
        answer.add_both(lambda _: done.set())
        deadline = time.monotonic() + self._limit
        while not done.wait(min(_LOOK_INTERVAL, left_until(deadline))):
            if (thread := self._io_thread) is None or not thread.is_alive():
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
    """Reads what came before a close, then the close: kafka-python drops both when it finds them together."""
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
    return state is not None, state.position.offset if state is not None and state.position is not None else None


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

    kafka-python goes on joining in the background when `poll` runs out of time. But the next `poll` throws away a join
    that has ended in between and starts another, which sends all other members into a rebalance again; or, where a
    topic grew, it believes that there is nothing to join, and the member has no partitions from then on.
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
