"""A worker group that can tell at its end what each of its workers has done."""

from __future__ import annotations

from labkit.process.child_process import STOP_TIMEOUT
from labkit.taskqueue.worker_group.base_worker import WorkerStatus
from labkit.taskqueue.worker_group.group import WorkerGroup


class WatchedGroup(WorkerGroup):
    """As its base; `last` is what each worker says of itself when all have ended, and nothing before."""

    last: tuple[WorkerStatus, ...] = ()

    def stop(self, *, timeout: float = STOP_TIMEOUT) -> None:
        """As the base does."""
        members = list(self._members.values())
        try:
            super().stop(timeout=timeout)
        finally:
            self.last = self.last or tuple(member.status() for member in members)
