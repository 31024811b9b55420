"""A process of Celery's pool ends when its worker is gone, and wherever it is told to."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from billiard.common import terminate_handler_fired

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

#: How often a process of the pool looks whether its worker is still there, in seconds.
WATCH_INTERVAL = 0.5


class PoolProcess:
    """In a process of the pool: ends it when its worker is gone, also by SIGKILL.

    Celery asks Linux to do that, from a moment after the fork on; macOS can't.
    """

    def __init__(self, worker: int) -> None:
        self._worker = worker

    def __call__(self, **_: object) -> None:
        """Celery calls this in each process that begins (`worker_process_init`)."""
        if os.getpid() == self._worker:
            return  # the pool "solo" has no processes
        sys.unraisablehook = exit_all_the_same
        threading.Thread(target=self._watch, name="parent-watch", daemon=True).start()

    def _watch(self) -> None:
        never = threading.Event()
        while os.getppid() == self._worker:
            never.wait(WATCH_INTERVAL)
        os._exit(1)


def exit_all_the_same(swallowed: UnraisableHookArgs) -> None:
    """End, where Python has swallowed the exit that billiard's signal handler raised in the middle of a callback; then
    nothing else would end the process. Python's own hook has anything else.
    """
    if isinstance(swallowed.exc_value, SystemExit) and terminate_handler_fired():
        os._exit(15)  # as billiard's own exit by SIGTERM
    sys.__unraisablehook__(swallowed)
