"""A clock for who is handed one."""

from __future__ import annotations


class Clock:
    """Stands still, at `now` seconds, until somebody moves it, or pauses."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds
