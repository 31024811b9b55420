"""The overrides of the network client of kafka-python: it waits with a limit, makes no topic by asking for it, and
tells who refused and what broke.
"""

from __future__ import annotations

import threading
from typing import Any

import kafka.errors as kafka_errors
from kafka.future import Future
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

#: How often a call that waits looks at the I/O thread, and how long the library's daemon threads may take to end, in s.
_LOOK_INTERVAL, END_TIMEOUT = 1.0, 2.0

_SASL = (kafka_errors.SaslAuthenticationFailedError, kafka_errors.UnsupportedSaslMechanismError)
REFUSALS = (*_SASL, kafka_errors.IllegalSaslStateError, kafka_errors.AuthorizationError)


class ThreadEnded(kafka_errors.KafkaError):  # type: ignore[misc]  # kafka-python has no types
    """The I/O thread of a client has ended, so it answers nothing any more: nobody asks it again."""


def open_network(limit: float, **config: Any) -> KafkaNetClient:
    """A network client whose calls end within `limit` seconds, and which tells who was refused."""
    net = _BoundedSelector(limit, **config)
    return KafkaNetClient(net, _Manager(net, **config), **config)


class _BoundedSelector(NetworkSelector):  # type: ignore[misc]
    """Waits no longer than `limit` seconds for its I/O thread; the library waits for ever.

    What the caller itself does meanwhile, in the callbacks of a rebalance, does not count; nor does the time for which
    the process stood still, and its I/O thread with it. Raises `ThreadEnded` where that thread is no more.
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
        left = self._limit
        while not done.wait(look := min(_LOOK_INTERVAL, left)):
            if (thread := self._io_thread) is None or not thread.is_alive():
                raise self._ended()
            left = self._limit if self.callbacks else left - look  # however long the look took
            if left <= 0:
                raise kafka_errors.KafkaTimeoutError(f"The client did not answer within {self._limit:g} s.")
        if answer.exception is not None:
            raise answer.exception
        return answer.value

    def call_soon_with_future(self, coro: Any, *args: Any) -> Any:
        if self._exception is not None:
            raise self._ended()
        return super().call_soon_with_future(coro, *args)

    def call_soon_threadsafe(self, callback: Any) -> Any:
        # where the thread is no more nothing can be called; the library's close would end here, with all sockets open
        return super().call_soon_threadsafe(callback) if self._exception is None else None

    def stop(self, timeout_ms: float | None = None) -> None:
        super().stop(END_TIMEOUT * 1000 if timeout_ms is None else timeout_ms)

    def close(self) -> None:
        if self._exception is not None:
            self._ready.clear()  # the library would run it here, on what has just broken down
        super().close()

    def _ended(self) -> ThreadEnded:
        return ThreadEnded(f"its I/O thread has ended{'' if self._exception is None else f' by {self._exception!r}'}")


def has_ended(client: Any) -> bool:
    """Whether the I/O thread of a consumer or an admin client has broken down, so that it has to be made anew."""
    return client._net._exception is not None


class _Manager(KafkaConnectionManager):  # type: ignore[misc]
    """Makes no topic by asking for it, and notes who was refused, so that the next try raises it; kafka-python tries
    until the time is up.
    """

    def __init__(self, net: NetworkSelector, **config: Any) -> None:
        super().__init__(net, **config)
        # kafka-python 3.0.12 does not hand on what a consumer or a producer is told by the option of this name
        self.cluster.config["allow_auto_create_topics"] = False

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
