"""The members of a worker group: a worker in a thread of this process, or in a process of its own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any, Protocol

from labkit.errors import Unsupported, WorkerFailed
from labkit.measure.records import DONE, TaskRecord
from labkit.process.child_process import ChildProcess
from labkit.taskqueue.base_worker import BaseWorker, WorkerStatus
from labkit.taskqueue.engine.worker_config import Mode
from labkit.taskqueue.share_worker import ShareWorker
from labkit.taskqueue.worker import Worker

#: How long a process may take to report what it has done, in seconds.
ECHO_TIMEOUT = 10.0


def worker_class(mode: Mode) -> type[BaseWorker]:
    """The kind of worker for a consumer group, or for a share group."""
    return ShareWorker if mode == "share" else Worker


class Member(Protocol):
    """One worker of a group, wherever it runs."""

    name: str

    def start(self) -> None:
        """Begin to join the group."""
        ...

    def status(self) -> WorkerStatus:
        """What the worker is doing now, as far as is known here."""
        ...

    def alive(self) -> bool:
        """Whether it has begun and not ended."""
        ...

    def catch_up(self) -> None:
        """Return when everything that the worker has recorded until now is known here."""
        ...

    def ask_to_stop(self) -> None:
        """Finish the task in hand, commit and leave."""
        ...

    def join(self) -> None:
        """Return when the worker has ended; raises `WorkerFailed` if it ended with an error."""
        ...

    def kill(self) -> None:
        """End the worker at once, in the middle of what it does."""
        ...

    def signal(self, number: signal.Signals) -> None:
        """Send this signal to the worker."""
        ...


class ThreadMember:
    """A worker in a thread of this process."""

    def __init__(self, worker: BaseWorker) -> None:
        self.name = worker.name
        self._worker = worker
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=worker.name, daemon=True)

    def start(self) -> None:
        """Begin to join the group."""
        self._thread.start()

    def status(self) -> WorkerStatus:
        """What the worker is doing now."""
        return self._worker.status()

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def catch_up(self) -> None:
        """Nothing to do: a thread's records are known at once."""

    def ask_to_stop(self) -> None:
        """Finish the task in hand, commit and leave."""
        self._worker.stop()

    def join(self) -> None:
        """Return when the worker has ended; raises `WorkerFailed` if it ended with an error."""
        self._thread.join()
        if self._error is not None:
            raise WorkerFailed(f"{self.name} ended with an error: {self._error}") from self._error

    def kill(self) -> None:
        """A thread cannot be killed; raises `Unsupported`."""
        raise Unsupported("A worker in a thread cannot be killed. Make the group with processes=True.")

    def signal(self, number: signal.Signals) -> None:
        """A thread gets no signals; raises `Unsupported`."""
        raise Unsupported("A worker in a thread gets no signals. Make the group with processes=True.")

    def _run(self) -> None:
        try:
            self._worker.run()
        except Exception as error:  # noqa: BLE001 - handed on by `join`
            self._error = error


class ProcessMember:
    """A worker in a process of its own (`labkit.taskqueue.worker_process`), which ends when this process does.

    It reports its records and its assignment as JSON lines.
    """

    def __init__(self, name: str, job: dict[str, Any], on_record: Callable[[TaskRecord], object]) -> None:
        self.name = name
        self._on_record = on_record
        self._partitions: tuple[int, ...] = ()
        self._done = self._failed = 0
        self._caught_up = threading.Event()
        self._child = ChildProcess(name, "labkit.taskqueue.worker_process", job, hear=self._hear)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    def start(self) -> None:
        """Start the process and hand it its job."""
        self._child.start()

    def status(self) -> WorkerStatus:
        """What the worker has reported so far."""
        return WorkerStatus(
            name=self.name,
            partitions=self._partitions,
            done=self._done,
            failed=self._failed,
            running=self._child.alive(),
        )

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._child.alive()

    def catch_up(self) -> None:
        """Ask for an echo, which comes after all reports before it; raises `WorkerFailed` if none comes."""
        self._caught_up.clear()
        self._child.tell("echo")
        if not self._caught_up.wait(ECHO_TIMEOUT):
            raise WorkerFailed(f"{self.name} did not answer within {ECHO_TIMEOUT:g} s.")

    def ask_to_stop(self) -> None:
        """Close the process's input, which is its sign to stop."""
        self._child.ask_to_stop()

    def join(self) -> None:
        """Return when the process has ended and everything it reported is read; raises `WorkerFailed`."""
        self._child.join()

    def kill(self) -> None:
        """SIGKILL: the process ends in the middle of what it does, commits nothing and does not leave."""
        self._child.kill()

    def signal(self, number: signal.Signals) -> None:
        """Send this signal to the process."""
        self._child.signal(number)

    def _hear(self, message: dict[str, Any]) -> None:
        if "echo" in message:
            self._caught_up.set()
        elif "assigned" in message:
            self._partitions = tuple(message["assigned"])
        else:
            self._take(TaskRecord(**message))

    def _take(self, record: TaskRecord) -> None:
        self._done += record.outcome == DONE
        self._failed += record.outcome != DONE
        self._on_record(record)
