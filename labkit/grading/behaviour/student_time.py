"""The time that student code has. A computer that is too busy to look at it does not use it up."""

from __future__ import annotations

from collections.abc import Callable

#: So much of the time between two looks counts, in seconds. So whoever waits for a time has looked often, too, and
#: whatever the broker was asked in these looks, it has answered.
MOST_BETWEEN = 0.5


class StudentTime:
    """A clock in seconds, which goes on when somebody looks at it, and a deadline on it."""

    def __init__(self, clock: Callable[[], float], timeout: float) -> None:
        self._clock = clock
        self._timeout = timeout
        self._passed = 0.0
        self._last = clock()

    def now(self) -> float:
        """How much of the time has passed."""
        at = self._clock()
        self._passed += min(at - self._last, MOST_BETWEEN)
        self._last = at
        return self._passed

    def is_over(self) -> bool:
        """Whether it has all passed."""
        return self.now() > self._timeout

    def skip(self) -> None:
        """What has passed since the last look was not the student's."""
        self._last = self._clock()
