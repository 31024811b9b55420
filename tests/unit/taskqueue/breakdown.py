"""A worker whose executor cannot go on while a handler runs."""

from __future__ import annotations

import threading

import pytest

from labkit.errors import WorkerFailed
from labkit.taskqueue.engine.executors import ThreadExecutor
from labkit.taskqueue.worker_group.base_worker import BaseWorker


class Endless:
    """A runner as a process is one: what it works on ends only when it is closed."""

    def __init__(self) -> None:
        self.begun, self.closed = threading.Event(), threading.Event()

    def run(self, task):
        self.begun.set()
        self.closed.wait()

    def close(self):
        self.closed.set()


class Broken(Endless):
    """One that fails by itself, when the other one is at work."""

    def __init__(self, other: Endless) -> None:
        super().__init__()
        self.other = other

    def run(self, task):
        self.other.begun.wait()
        raise MemoryError("no room")


def break_down(worker: BaseWorker) -> Endless:
    """Run this worker until a thread of its executor fails; the runner of the other thread."""
    endless = Endless()
    runners = [endless, Broken(endless)]
    worker._executor = ThreadExecutor(
        worker._shards, worker._attempts, runners, name="w", on_crash=worker._executor_crashed
    )
    with pytest.raises(WorkerFailed, match="could not go on: no room"):
        worker.run()
    return endless
