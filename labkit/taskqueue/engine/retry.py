"""When to try a failed task again."""

from __future__ import annotations

import random

from msgspec import Struct

from labkit.errors import SettingsError


class Retry(Struct, frozen=True, kw_only=True):
    """Exponential back-off with jitter; times in seconds.

    A task is tried `attempts` times in all. Before attempt n + 1 it waits a random part, between half and the
    whole, of `first * 2 ** (n - 1)`, at most of `longest`: the jitter keeps tasks that failed together from
    coming back together ("equal jitter": Marc Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015).
    """

    attempts: int = 3
    first: float = 0.1
    longest: float = 10.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first < 0 or self.longest < 0:
            raise SettingsError(f"{self} cannot be: there is at least one attempt, and times are not negative.")

    def delay(self, attempt: int, rng: random.Random) -> float | None:
        """How long to wait after this failed attempt (the first is 1); None if it was the last."""
        if attempt >= self.attempts:
            return None
        # beyond 2**60 `longest` holds anyway, and a float would overflow
        whole: float = min(self.longest, self.first * 2 ** min(attempt - 1, 60))
        return whole * rng.uniform(0.5, 1.0)
