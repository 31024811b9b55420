"""A process of our own: told what to do by a JSON line, reporting by JSON lines, and ended with this process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from typing import IO, Any

from labkit.errors import WorkerFailed

#: How long a process has to end after it was asked to, in seconds.
STOP_TIMEOUT = 30.0


class ChildProcess:
    """Runs `python -m module`.

    It gets its job by one JSON line on its standard input; when that input ends, it stops, so it does not outlive this
    process. Each JSON line on its standard output goes to `hear`, on a thread. `environment` is by default this one's.
    """

    def __init__(
        self,
        name: str,
        module: str,
        job: Mapping[str, Any],
        *,
        hear: Callable[[dict[str, Any]], object],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._module = module
        self._job = job
        self._hear = hear
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self._last_words = ""
        self._complaints: IO[str]
        self._reader = threading.Thread(target=self._read, name=f"{name}-reader", daemon=True)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._started.pid

    def start(self) -> None:
        """Start the process and hand it its job."""
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            env=self._environment,
            start_new_session=True,  # Ctrl-C in the terminal is for this process, which stops its own in order
        )
        self.tell(json.dumps(self._job))
        self._reader.start()

    def alive(self) -> bool:
        """Whether the process was started and runs."""
        return self._process is not None and self._process.poll() is None

    def tell(self, line: str) -> None:
        """Write a line to its standard input; raises `WorkerFailed` if it has ended with an error."""
        try:
            self._to_child.write(line + "\n")
            self._to_child.flush()
        except BrokenPipeError:
            self.join()
            raise

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
        """SIGKILL: the process ends in the middle of what it does."""
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

    def _read(self) -> None:
        for line in self._started.stdout or ():
            if not line.endswith("\n"):
                return  # cut off by a kill
            self._hear(json.loads(line))
