"""How far something comes while it is waited for, and what to do where that was not far enough."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """From how many were `done` when the wait began; `clock` gives seconds from any moment."""

    def __init__(self, done: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._before = done
        self._clock = clock
        self._begun = clock()

    def so_far(self, done: int, what: str) -> str:
        """What was done meanwhile, and how fast: the beginning of a sentence."""
        number = self._done(done)
        return f"{number} {what} meanwhile ({self._rate(number):.1f} a second)"

    def advice(self, done: int, left: int, otherwise: str) -> str:
        """How long the rest will take at that rate; where nothing moved, what to do `otherwise`."""
        number = self._done(done)
        if not number:
            return f"Nothing has moved: {otherwise}."
        return (
            f"At that rate the rest takes {left / self._rate(number):.1f} s: give a longer `timeout`, or more workers."
        )

    def _done(self, done: int) -> int:
        return max(0, done - self._before)

    def _rate(self, number: int) -> float:
        return number / max(self._clock() - self._begun, 1e-3)
