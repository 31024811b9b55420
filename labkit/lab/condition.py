"""A condition that is waited for with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable

#: What takes longer is looked at less often, for a look may cost much: after this share of the time that has passed, …
SHARE = 0.05
#: … but not so seldom that somebody notices, in seconds.
LONGEST_INTERVAL = 0.25


def wait_for(
    condition: Callable[[], bool],
    timeout: float,
    *,
    interval: float = 0.01,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = time.sleep,
) -> bool:
    """Look at the condition until it is true; False if `timeout` seconds have passed.

    There are `interval` seconds between two looks, and more when it has taken long, up to `LONGEST_INTERVAL`.
    """
    begun = clock()
    while not condition():
        waited = clock() - begun
        if waited >= timeout:
            return False
        pause(min(interval_after(waited, interval), timeout - waited))
    return True


def interval_after(waited: float, shortest: float) -> float:
    """How long to wait before the next look, when it has been waited for so long in vain; in seconds."""
    return max(shortest, min(SHARE * waited, LONGEST_INTERVAL))
