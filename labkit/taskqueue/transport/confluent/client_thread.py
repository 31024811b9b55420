"""A thread that makes all calls of one librdkafka client, some of which may never return."""

from __future__ import annotations

import threading
import time
from collections import deque
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

    While a call does not return, later ones wait for it. What the library calls back is run by the owner, when it waits
    for an answer and says that it may be called back then, and may give further orders. Until then the thread waits
    inside that call, and does what is ordered. It is a daemon: one that never ends holds up nobody.
    Used from one thread.
    """

    def __init__(self, name: str) -> None:
        self._orders: SimpleQueue[Order[Any] | None] = SimpleQueue()
        # an order that is done, or one for the owner
        self._news: SimpleQueue[Order[Any]] = SimpleQueue()
        # what was called back while the owner did not want it, and whether it is at one now
        self._called_back: deque[Order[Any]] = deque()
        self._is_inside = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def order(self, function: Callable[[], Answer]) -> Order[Answer]:
        """Order a call, and do not wait for it."""
        order = Order(function)
        self._orders.put(order)
        return order

    def wait(self, order: Order[Any], timeout: float, *, callbacks: bool = False) -> bool:
        """Whether the order is done after so many seconds at most.

        With `callbacks`, or inside of one, the owner does what is called back meanwhile, or was before; that time does
        not count. Else it would find another state than it had left, after what seemed to be one call.
        """
        may_call_back = callbacks or self._is_inside
        deadline = time.monotonic() + timeout
        while may_call_back and self._called_back:
            deadline += self._execute(self._called_back.popleft())
        while not order.done:
            try:
                news = self._news.get(timeout=left_until(deadline))
            except Empty:
                return False
            if news.done:
                continue
            if may_call_back:
                deadline += self._execute(news)
            else:
                self._called_back.append(news)
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

    def _execute(self, called_back: Order[Any]) -> float:
        """Do what was called back; how many seconds that took."""
        begun = time.monotonic()
        was_inside, self._is_inside = self._is_inside, True
        called_back.execute()
        self._is_inside = was_inside
        self._orders.put(called_back)  # the thread goes on behind it
        return time.monotonic() - begun

    def _serve(self, until: Order[Any] | None = None) -> None:
        while (order := self._orders.get()) is not until:
            if order is None:  # the end, told inside a call
                self._orders.put(None)
                return
            order.execute()
            self._news.put(order)
            del order
