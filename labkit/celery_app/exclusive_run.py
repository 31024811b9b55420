"""The lock by which a task can run alone in its Celery worker: it waits for the others, and they wait for it.

Threads of one process keep apart by a condition. Processes of a pool do by locks on a file that has no name and that
they share since they were forked; the kernel takes them from a process that dies. In both, who wants to be alone goes
before those who come later.
"""

from __future__ import annotations

import fcntl
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp

#: The bytes of the file: everybody locks the first on the way in, and waits there while somebody waits to be alone.
_ENTRY, _RUN = 0, 1


class ExclusiveRun:
    """The lock of one worker; to be made before its processes are forked."""

    def __init__(self) -> None:
        self._file, name = mkstemp()
        Path(name).unlink()
        weakref.finalize(self, os.close, self._file)
        self._threads = _Threads()

    @contextmanager
    def running(self, *, alone: bool) -> Iterator[None]:
        """Inside, a task runs: beside others, or alone."""
        with self._threads.running(alone=alone), self._among_processes(alone=alone):
            yield

    @contextmanager
    def _among_processes(self, *, alone: bool) -> Iterator[None]:
        # These locks are the process's. Where several threads of one have tasks, there are no other processes.
        self._lock(fcntl.LOCK_EX, _ENTRY)
        try:
            self._lock(fcntl.LOCK_EX if alone else fcntl.LOCK_SH, _RUN)
        finally:
            self._lock(fcntl.LOCK_UN, _ENTRY)
        try:
            yield
        finally:
            self._lock(fcntl.LOCK_UN, _RUN)

    def _lock(self, how: int, place: int) -> None:
        fcntl.lockf(self._file, how, 1, place)


class _Threads:
    """The same among the threads of this process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._beside = 0
        self._wants_alone = 0
        self._is_alone = False

    @contextmanager
    def running(self, *, alone: bool) -> Iterator[None]:
        with self._changed:
            self._enter(alone=alone)
        try:
            yield
        finally:
            with self._changed:
                if alone:
                    self._is_alone = False
                else:
                    self._beside -= 1
                self._changed.notify_all()

    def _enter(self, *, alone: bool) -> None:
        if not alone:
            self._changed.wait_for(lambda: not self._is_alone and not self._wants_alone)
            self._beside += 1
            return
        self._wants_alone += 1
        try:
            self._changed.wait_for(lambda: not self._is_alone and not self._beside)
            self._is_alone = True
        finally:
            self._wants_alone -= 1
            self._changed.notify_all()
