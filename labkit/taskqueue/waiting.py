"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from labkit.errors import DeadlineExceeded

#: How long to wait between two looks at a condition on the broker, in seconds.
LOOK_INTERVAL = 0.02


def wait_until(
    condition: Callable[[], bool],
    *,
    timeout: float,
    what: str,
    interval: float = LOOK_INTERVAL,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] | None = None,
) -> None:
    """Return as soon as the condition holds; `DeadlineExceeded`, which names `what`, after `timeout` seconds."""
    pause = pause or threading.Event().wait
    deadline = clock() + timeout
    while not condition():
        left = deadline - clock()
        if left <= 0:
            raise DeadlineExceeded(f"Waited {timeout:g} s in vain: {what}.")
        pause(min(interval, left))
