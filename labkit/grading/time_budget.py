"""So many seconds that a submission has for something, however often it is done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from labkit.errors import KernelEnded

T = TypeVar("T")


class TimeBudget:
    """So many `seconds` by this clock for `what`. Safe to use from several threads, which pay for themselves."""

    def __init__(self, seconds: float, what: str, clock: Callable[[], float]) -> None:
        self._seconds, self._what, self._clock = seconds, what, clock
        self._lock = threading.Lock()
        self._spent = 0.0

    def left(self) -> float:
        """The seconds that are left. Raises `KernelEnded` if there are none."""
        left = self._seconds - self._spent
        if left <= 0:
            raise KernelEnded(f"The time for {self._what}, {self._seconds:g} s, is over.")
        return left

    def spend(self, timeout: float, ask: Callable[[float], T]) -> T:
        """What comes of asking for so many seconds, or for what is left if that is less. Raises `KernelEnded`."""
        left = min(timeout, self.left())
        begin = self._clock()
        try:
            return ask(left)
        finally:
            with self._lock:
                self._spent += self._clock() - begin
