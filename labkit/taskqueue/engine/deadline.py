"""How much time an attempt has left, for handlers in threads: they cannot be stopped, so they ask.

def handler(task):
    for part in parts(task):
        check_time()          # raises TaskTimedOut when the time is over: the attempt has failed
        work_on(part)
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from labkit.errors import TaskTimedOut

_deadline: ContextVar[float | None] = ContextVar("labkit_deadline", default=None)


@contextmanager
def task_deadline(timeout: float) -> Iterator[None]:
    """Inside, the attempt has `timeout` seconds."""
    token = _deadline.set(time.monotonic() + timeout)
    try:
        yield
    finally:
        _deadline.reset(token)


def time_left() -> float | None:
    """Seconds that this attempt has left, negative when they are over; None if there is no limit."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()


def check_time() -> None:
    """Raise `TaskTimedOut` if this attempt has no time left."""
    left = time_left()
    if left is not None and left < 0:
        raise TaskTimedOut
