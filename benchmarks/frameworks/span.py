"""From the first task's begin to the last one's end. Standard library only, as it runs in other environments."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any


class Span:
    """Counts tasks from any thread; `done` is set when all are over."""

    def __init__(self, tasks: int) -> None:
        self.done = threading.Event()
        self._left = tasks
        self._lock = threading.Lock()
        self._begin: float | None = None

    def begin(self) -> None:
        """A task begins."""
        if self._begin is None:
            self._begin = time.perf_counter()

    def end(self) -> bool:
        """A task is over; True if it was the last one, whose time is then printed."""
        with self._lock:
            self._left -= 1
            if self._left:
                return False
        assert self._begin is not None
        print(json.dumps({"seconds": time.perf_counter() - self._begin}), flush=True)
        self.done.set()
        return True


def orders() -> dict[str, Any]:
    """What the program was told."""
    told: dict[str, Any] = json.loads(sys.argv[1])
    return told
