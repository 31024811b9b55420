"""The members of a worker group: a worker in a thread of this process, or in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import IO, Any, Protocol

from labkit.errors import Unsupported, WorkerFailed
from labkit.measure.records import DONE, TaskRecord
from labkit.taskqueue.base_worker import BaseWorker, WorkerStatus
from labkit.taskqueue.engine.config import Mode
from labkit.taskqueue.share import ShareWorker
from labkit.taskqueue.worker import Worker

#: How long a process has to leave the group after it was asked to, in seconds.
STOP_TIMEOUT = 30.0
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
    """A worker in a process of its own (`labkit.taskqueue.process`), which ends when this process does.

    It is told what to do by one JSON line on its standard input; when that input ends, it stops. It reports
    its records and its assignment as JSON lines on its standard output.
    """

    def __init__(self, name: str, job: dict[str, Any], on_record: Callable[[TaskRecord], object]) -> None:
        self.name = name
        self._job = job
        self._on_record = on_record
        self._partitions: tuple[int, ...] = ()
        self._done = self._failed = 0
        self._caught_up = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._last_words = ""
        self._complaints: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the member
        self._reader = threading.Thread(target=self._read, name=f"{name}-reader", daemon=True)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._started.pid

    def start(self) -> None:
        """Start the process and hand it its job."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "labkit.taskqueue.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            start_new_session=True,  # Ctrl-C in the terminal is for the group, which stops its members in order
        )
        self._tell(json.dumps(self._job))
        self._reader.start()

    def status(self) -> WorkerStatus:
        """What the worker has reported so far."""
        return WorkerStatus(
            name=self.name,
            partitions=self._partitions,
            done=self._done,
            failed=self._failed,
            running=self._process is not None and self.alive(),
        )

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._started.poll() is None

    def catch_up(self) -> None:
        """Ask for an echo, which comes after all reports before it; raises `WorkerFailed` if none comes."""
        self._caught_up.clear()
        self._tell("echo")
        if not self._caught_up.wait(ECHO_TIMEOUT):
            raise WorkerFailed(f"{self.name} did not answer within {ECHO_TIMEOUT:g} s.")

    def ask_to_stop(self) -> None:
        """Close the process's input, which is its sign to stop."""
        if not self._to_child.closed:
            try:
                self._to_child.close()
            except BrokenPipeError:
                return  # it has ended already; `join` says how

    def join(self) -> None:
        """Return when the process has ended and everything it reported is read; raises `WorkerFailed`."""
        process = self._started
        try:
            status = process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise WorkerFailed(f"{self.name} did not stop within {STOP_TIMEOUT:g} s and was killed.") from None
        last_words = self._let_go()
        if status != 0:
            raise WorkerFailed(f"{self.name} ended with status {status}: {last_words or 'it said nothing'}")

    def kill(self) -> None:
        """SIGKILL: the process ends in the middle of what it does, commits nothing and does not leave."""
        self._started.kill()
        self._started.wait()
        self._let_go()

    def signal(self, number: signal.Signals) -> None:
        """Send this signal to the process."""
        self._started.send_signal(number)

    @property
    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process

    @property
    def _to_child(self) -> IO[str]:
        stream = self._started.stdin
        if stream is None:
            raise RuntimeError("the process was started without an input")
        return stream

    def _let_go(self) -> str:
        """Close what led to the ended process; returns the last line of its complaints."""
        if self._complaints.closed:
            return self._last_words
        self._reader.join()
        self.ask_to_stop()
        if self._started.stdout is not None:
            self._started.stdout.close()
        with self._complaints as complaints:
            complaints.seek(0)
            lines = complaints.read().split("\n")
        self._last_words = next((line for line in reversed(lines) if line.strip()), "")
        return self._last_words

    def _tell(self, line: str) -> None:
        try:
            self._to_child.write(line + "\n")
            self._to_child.flush()
        except BrokenPipeError:
            self.join()
            raise

    def _read(self) -> None:
        for line in self._started.stdout or ():
            if not line.endswith("\n"):
                return  # cut off by a kill
            message = json.loads(line)
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
