"""What became of the tasks of one Celery worker, counted over all its processes."""

from __future__ import annotations

import mmap
import threading
from ctypes import c_uint64, sizeof

from billiard.process import current_process

from labkit.measure.records import DEAD, DONE, FAILED, REPEATED

#: A run of a task that Beat has sent.
PERIODIC = "periodic"
#: What is counted.
COUNTED = (DONE, FAILED, DEAD, REPEATED, PERIODIC)


class Tally:
    """Counts in memory that forked processes share. Each has a row of its own, so that one which is killed in the
    middle leaves no lock behind; the process that takes its place goes on with its row.
    """

    def __init__(self, processes: int) -> None:
        self._rows = processes
        memory = mmap.mmap(-1, processes * len(COUNTED) * sizeof(c_uint64))
        self._counts = (c_uint64 * (processes * len(COUNTED))).from_buffer(memory)
        self._among_threads = threading.Lock()

    def add(self, what: str) -> None:
        """Count one in the row of this process."""
        row = getattr(current_process(), "index", 0)
        with self._among_threads:
            self._counts[row * len(COUNTED) + COUNTED.index(what)] += 1

    def total(self, what: str) -> int:
        """The sum over all processes."""
        return sum(self._counts[row * len(COUNTED) + COUNTED.index(what)] for row in range(self._rows))
