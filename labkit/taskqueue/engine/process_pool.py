"""Handlers in processes, for work that keeps a CPU busy.

Each of `concurrency` threads has a process of its own and waits for its answers. Pools of the standard library lose
all their work when one process dies; here a process that dies takes one attempt with it and is replaced.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from typing import IO, Any

from msgspec import convert
from msgspec.json import encode

from labkit.errors import ProcessDied, TaskTimedOut, WorkerFailed
from labkit.taskqueue.engine.failure import Failure, RemoteError
from labkit.taskqueue.task import Task

#: How long a new process may take until it is ready, in seconds.
START_TIMEOUT = 30.0


class HandlerProcess:
    """A process that runs handlers; started when the first task comes, and again after it has died."""

    def __init__(self, work: dict[str, Any], timeout: float | None) -> None:
        self._work = work
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""

    def start(self) -> None:
        """Start the process and return when it is ready; raises `WorkerFailed` if it is not in time."""
        self._buffer = b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "labkit.taskqueue.engine.handler_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the terminal is for the worker, which stops in order
        )
        try:
            answer = self._ask(json.dumps(self._work).encode(), START_TIMEOUT)
        except BrokenPipeError:
            answer = None
        if not answer:
            self.close()
            raise WorkerFailed("A process for handlers could not be started; what it said stands above.")

    def run(self, task: Task) -> BaseException | None:
        """Let the handler work on the task; why it failed, None if it did not.

        After `timeout` seconds the process is killed: `TaskTimedOut`. `ProcessDied` if it ended by itself.
        """
        if self._process is None or self._process.poll() is not None:
            self.close()
            self.start()
        try:
            answer = self._ask(encode(task), self._timeout)
        except BrokenPipeError:
            return self._died()
        if answer is None:
            self.close()
            return TaskTimedOut(f"It took longer than {self._timeout:g} s and its process was killed.")
        if answer == b"":
            return self._died()
        failure = json.loads(answer).get("failure")
        return None if failure is None else RemoteError(convert(failure, Failure))

    def close(self) -> None:
        """End the process at once, if there is one."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None

    def _died(self) -> ProcessDied:
        process = self._started()
        status = process.wait()
        self.close()
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return ProcessDied(f"The process that worked on it ended with {how}.")

    def _ask(self, line: bytes, timeout: float | None) -> bytes | None:
        """Send a line; the answer, nothing if the process has ended, None if no answer came in time."""
        process = self._started()
        to_child, from_child = process.stdin, process.stdout
        assert to_child is not None
        assert from_child is not None
        to_child.write(line + b"\n")
        to_child.flush()
        return self._read_line(from_child, None if timeout is None else time.monotonic() + timeout)

    def _read_line(self, pipe: IO[bytes], deadline: float | None) -> bytes | None:
        while b"\n" not in self._buffer:
            if deadline is not None and not _readable(pipe, deadline):
                return None
            part = os.read(pipe.fileno(), 65536)
            if not part:
                return b""
            self._buffer += part
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the process was not started")
        return self._process


def _readable(pipe: IO[bytes], deadline: float) -> bool:
    """Whether there is something to read, or the other end is closed, before the deadline."""
    left = deadline - time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return left > 0 and bool(selector.select(left))
