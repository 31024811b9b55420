"""A condition that is waited for with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(
    condition: Callable[[], bool],
    timeout: float,
    *,
    interval: float = 0.01,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = time.sleep,
) -> bool:
    """Look at the condition every `interval` seconds until it is true; False if `timeout` seconds have passed."""
    deadline = clock() + timeout
    while not condition():
        left = deadline - clock()
        if left <= 0:
            return False
        pause(min(interval, left))
    return True
