"""The locks of the cache, which several starts of labs share: who waits for another one says so."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)

#: How long to wait for another process before it is said, in seconds.
SILENCE = 10.0


@contextmanager
def cache_lock(path: Path, what: str) -> Iterator[None]:
    """Inside, no other process does `what`, for which this file is locked; the system unlocks it when a process ends.

    One that takes long may be on a slow network, so it is waited for until it ends, or this wait by Ctrl-C.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=SILENCE)
    except Timeout:
        logger.warning(
            "Another process has been %s for %g s, which is waited for. If it stands still, end it: `fuser %s` tells "
            "which one it is.",
            what,
            SILENCE,
            path,
        )
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
