"""Locks that a forked process finds open: who has one at the fork, in another thread, has it there for ever."""

from __future__ import annotations

import os
from threading import Lock


def lock_of_module() -> Lock:
    """A lock for all that a module makes, which lives as long as the process: a fork waits until it is open.

    So what is done inside takes a moment, and waits for nothing else.
    """
    lock = Lock()
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
