"""A thread that makes all calls of one librdkafka client, some of which may never return."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from labkit.taskqueue.timeouts import left_until

Answer = TypeVar("Answer")


class Order(Generic[Answer]):
    """One call: what it is and, when `done`, what it returned or raised."""

    __slots__ = ("_error", "_function", "_value", "done")

    def __init__(self, function: Callable[[], Answer]) -> None:
        self._function: Callable[[], Answer] | None = function
        self._value: Answer | None = None
        self._error: BaseException | None = None
        self.done = False

    def execute(self) -> None:
        """Make the call."""
        assert self._function is not None
        try:
            self._value = self._function()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the answer gets it
            self._error = error
        self._function = None
        self.done = True

    @property
    def failed(self) -> bool:
        """Whether it has raised."""
        return self._error is not None

    def answer(self) -> Any:
        """What the call returned; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._value


class ClientThread:
    """Makes calls one after the other, and lets their owner wait no longer than it wants.

    While a call does not return, later ones wait for it. What the library calls back is run by the owner, while it
    waits for an answer, and may give further orders. The thread is a daemon: one that never ends holds up nobody.
    Used from one thread.
    """

    def __init__(self, name: str) -> None:
        self._orders: SimpleQueue[Order[Any] | None] = SimpleQueue()
        # an order that is done, or one for the owner
        self._news: SimpleQueue[Order[Any]] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def order(self, function: Callable[[], Answer]) -> Order[Answer]:
        """Order a call, and do not wait for it."""
        order = Order(function)
        self._orders.put(order)
        return order

    def wait(self, order: Order[Any], timeout: float) -> bool:
        """Whether the order is done after so many seconds at most.

        What the owner itself does meanwhile, in what is called back, does not count.
        """
        deadline = time.monotonic() + timeout
        while not order.done:
            try:
                news = self._news.get(timeout=left_until(deadline))
            except Empty:
                return False
            if not news.done:
                begun = time.monotonic()
                news.execute()
                self._orders.put(news)  # the thread goes on behind it
                deadline += time.monotonic() - begun
        return True

    def call_owner(self, function: Callable[[], object]) -> None:
        """From inside a call: let the owner do this, and do meanwhile what it orders. The function must not raise."""
        for_owner = Order(function)
        self._news.put(for_owner)
        self._serve(until=for_owner)

    def end(self, timeout: float) -> bool:
        """Let the thread go when everything ordered is done; whether it has ended after so many seconds at most."""
        self._orders.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _serve(self, until: Order[Any] | None = None) -> None:
        while (order := self._orders.get()) is not until:
            if order is None:  # the end, told inside a call
                self._orders.put(None)
                return
            order.execute()
            self._news.put(order)
            del order
