"""How much of the computer nobody used while something was measured: else one measures how busy it is.

Waits of a few milliseconds can be held against a formula only where whoever has something to do finds a processor.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

import psutil

from labkit.resource import Resource

#: Over how many seconds each look goes.
INTERVAL = 1.0
#: How many processors must have been idle in each of them for a computer that counts as calm.
CALM = 0.25
#: How often this process shows that it runs itself, and after how long it counts as having stood still, in intervals.
SIGN, STILL = 0.1, 0.5


def idle_seconds() -> float:
    """Seconds for which processors have had nothing to do since the computer started, summed over all of them."""
    return float(psutil.cpu_times().idle)


class IdleProcessors(Resource, checked=True):
    """Looks how many processors have nothing to do, while something else runs. A context manager.

    `interval` is in seconds; `idle` gives the seconds that processors have been idle, `clock` those that have passed.
    """

    def __init__(
        self,
        *,
        interval: float = INTERVAL,
        idle: Callable[[], float] = idle_seconds,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval = interval
        self._idle = idle
        self._clock = clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="idle-processors", daemon=True)
        self._last = (0.0, 0.0)
        self._sign = 0.0
        #: For how long this process has shown no sign, at most, in seconds.
        self._silence = 0.0
        #: How many there were on average in each interval.
        self.seen: list[float] = []

    def start(self) -> Self:
        """Begin to look."""
        self._last = (self._clock(), self._idle())
        self._sign = self._last[0]
        self._thread.start()
        return self

    def close(self) -> None:
        """Look for the last time."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._show_sign()
        if not self.seen or self._clock() - self._last[0] >= self._interval / 2:  # what is shorter says little
            self._look()

    @property
    def calm(self) -> bool:
        """Whether `CALM` processors were idle all the time, as far as it is known, and this process never stood still.

        One that the system stops, or lets wait, measures its own standing still, on idle processors too.
        """
        return bool(self.seen) and min(self.seen) >= CALM and self._silence < STILL * self._interval

    def _watch(self) -> None:
        while not self._ended.wait(SIGN * self._interval):
            self._show_sign()
            if self._sign - self._last[0] >= self._interval:
                self._look()

    def _show_sign(self) -> None:
        before, self._sign = self._sign, self._clock()
        self._silence = max(self._silence, self._sign - before)

    def _look(self) -> None:
        (before, idle_before), self._last = self._last, (self._clock(), self._idle())
        now, idle = self._last
        self.seen.append((idle - idle_before) / max(now - before, 1e-9))
