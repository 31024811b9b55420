"""A process of Celery's pool ends when its worker is gone."""

from __future__ import annotations

import os
import threading

#: How often a process of the pool looks whether its worker is still there, in seconds.
WATCH_INTERVAL = 0.5


class ParentWatch:
    """In a process of the pool: ends it when its worker is gone, also by SIGKILL.

    Celery asks Linux to do that, from a moment after the fork on; macOS can't.
    """

    def __init__(self, worker: int) -> None:
        self._worker = worker

    def __call__(self, **_: object) -> None:
        """Celery calls this in each process that begins (`worker_process_init`)."""
        if os.getpid() == self._worker:
            return  # the pool "solo" has no processes
        threading.Thread(target=self._watch, name="parent-watch", daemon=True).start()

    def _watch(self) -> None:
        never = threading.Event()
        while os.getppid() == self._worker:
            never.wait(WATCH_INTERVAL)
        os._exit(1)
