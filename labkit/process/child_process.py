"""A process of our own: told what to do, heard, logged, and ended whole, with all that it has started."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from signal import SIGKILL, Signals
from typing import Any

from msgspec.json import encode

from labkit.errors import WorkerFailed
from labkit.process.child_watch import ChildWatch
from labkit.process.output_log import OutputLog
from labkit.process.parent_channel import CUT_OFF, FAILURE, STATUS, STOP, WORDS
from labkit.process.process_group import ProcessGroup
from labkit.process.signals import signal_name
from labkit.settings import environment_with
from labkit.typed_values import typed_json

#: How long the system may take to start a process, in seconds.
BEGIN_TIMEOUT = 30.0
#: How long a process has to end after it was asked to, in seconds.
STOP_TIMEOUT = 30.0
#: How long a killed process may take to be gone, in seconds.
KILL_TIMEOUT = 10.0

#: With it, Python would take the end of a program for an error, and end with status 1.
_NOT_HANDED_ON = ("PYTHONINSPECT",)
#: In the place of a status.
_UNKNOWN = "a status that nobody knows (SIGCHLD is ignored here, or another has waited for it)"


class ChildProcess:
    """Runs `main(parent)` of a module in a process of its own, the head of a session and of a process group.

    Its `job`, what it is told, and the order to stop go to it as lines of JSON over a private pipe; its reports come
    over another, and go to `hear` as lines of JSON too, on the thread that watches over it. What it writes to its
    standard output and error goes to `output`, by default a new one. Its standard input is empty.
    When it ends, which is noticed by its process id, what is left of its group is killed, and `on_end` is called on
    that thread. It does not outlive this process. `environment` is by default this one's.
    """

    def __init__(
        self,
        name: str,
        module: str,
        job: Mapping[str, Any],
        *,
        hear: Callable[[bytes], object],
        on_end: Callable[[], object] = lambda: None,
        environment: Mapping[str, str] | None = None,
        output: OutputLog | None = None,
    ) -> None:
        self.name = name
        self.output = output or OutputLog(name)
        self._module = module
        self._job = job
        self._hear = hear
        self._on_end = on_end
        self._environment = environment
        self._group: ProcessGroup | None = None
        self._watch: ChildWatch | None = None
        self._status: int | None = None  # until it has ended, what it says itself
        self._failure: str | None = None
        self._error: BaseException | None = None
        self._begun = threading.Event()
        # nobody waits any more for it to begin
        self._is_too_late = False
        self._ended = threading.Event()
        # also the one that starts it: Linux kills a child when the thread that has started it ends
        self._thread = threading.Thread(target=self._run, name=f"{name}-watch", daemon=True)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._started.pid

    def start(self) -> None:
        """Start the process and hand it its job. Raises `WorkerFailed` if it cannot be started."""
        try:
            self._thread.start()
        except RuntimeError as error:  # there are too many threads already
            raise WorkerFailed(f"{self.name} could not be started: {error}") from error
        if not self._begun.wait(BEGIN_TIMEOUT):
            self._is_too_late = True
            if self._group is not None:  # it has come this moment
                self._group.signal(SIGKILL)
            raise WorkerFailed(f"{self.name} could not be started within {BEGIN_TIMEOUT:g} s.")
        if self._group is None:
            raise WorkerFailed(f"{self.name} could not be started: {self._error}") from self._error
        self.tell(self._job)

    def alive(self) -> bool:
        """Whether the process was started and runs."""
        return self._group is not None and not self._ended.is_set()

    def tell(self, message: object, *, patience: float = KILL_TIMEOUT) -> None:
        """Tell it this, which can be written as JSON.

        Raises `WorkerFailed` if it has ended or ends now: how is waited for up to `patience` seconds.
        """
        try:
            self._write(WORDS + encode(message) + b"\n")
        except BrokenPipeError:
            if self._ended.wait(patience):
                self.join()
            raise WorkerFailed(f"{self.name} has ended, or does not listen any more.") from None

    def ask_to_stop(self) -> None:
        """Ask it to finish what it has begun and to end; if it has ended already, `join` says how."""
        with suppress(BrokenPipeError):
            self._write(STOP + b"\n")

    def join(self, timeout: float = STOP_TIMEOUT) -> None:
        """Return when the process has ended and everything that it reported was heard.

        Raises `WorkerFailed` if it could not go on, or had to be killed after `timeout` seconds.
        """
        group = self._started
        if not self._ended.wait(timeout):
            self._kill(group)
            raise WorkerFailed(f"{self.name} did not stop within {round(timeout, 1):g} s and was killed.")
        if self._error is not None:
            raise WorkerFailed(f"What {self.name} reported could not be taken: {self._error}") from self._error
        if self._status != 0:
            last = self.output.last_line()
            said = "" if self.why() else f". It said last: {last}" if last else ". It said nothing."
            raise WorkerFailed(f"{self.name} ended with {self.ending()}{said}")

    def kill(self) -> None:
        """SIGKILL: the process ends in the middle of what it does, and with it all that it has started."""
        self._kill(self._started)

    def signal(self, number: Signals) -> None:
        """Send this signal to the process and all that it has started."""
        self._started.signal(number)

    def ending(self) -> str:
        """With what the process has ended, in words: a signal or a status, and why, if it has said it."""
        if self._status is None:
            how = _UNKNOWN
        else:
            how = signal_name(-self._status) if self._status < 0 else f"status {self._status}"
        why = self.why()
        return how if why is None else f"{how}: {why}"

    def why(self) -> str | None:
        """Why it could not go on, if it has said it."""
        if self._status == CUT_OFF:
            return "what it ran has closed the descriptors that lead to this process"
        return self._failure

    @property
    def _started(self) -> ProcessGroup:
        if self._group is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._group

    def _kill(self, group: ProcessGroup) -> None:
        group.signal(SIGKILL)
        if not self._ended.wait(KILL_TIMEOUT):
            raise WorkerFailed(f"{self.name} was killed and is still there after {KILL_TIMEOUT:g} s.")

    def _write(self, line: bytes) -> None:
        if self._watch is None:
            raise RuntimeError(f"{self.name} was not started")
        self._watch.orders.write(line)

    def _run(self) -> None:
        """All that the thread does."""
        try:
            self._launch_and_attend()
        except BaseException as error:  # noqa: BLE001 - `start` or `join` raises it
            self._error = error
        finally:
            self.output.close()
            self._begun.set()
            self._ended.set()
            self._on_end()

    def _launch_and_attend(self) -> None:
        with closing(ChildWatch(on_line=self._take, on_output=self.output.write)) as watch:
            ends = [end.inherited for end in (watch.orders, watch.reports, watch.output)]
            words = ["labkit.process", self._module, *map(str, (*ends[:2], os.getpid()))]
            environment = environment_with() if self._environment is None else self._environment
            group = ProcessGroup(
                [sys.executable, "-m", *words],
                output=ends[2],
                inherited=ends[:2],
                environment={name: value for name, value in environment.items() if name not in _NOT_HANDED_ON},
            )
            try:
                watch.handed_over()
                self._watch, self._group = watch, group
                self._begun.set()
                if self._is_too_late:
                    group.signal(SIGKILL)
                watch.attend(group)
            finally:
                status = group.reap()
            watch.read_rest()
            if status is not None:
                self._status = status

    def _take(self, line: bytes) -> None:
        if line.startswith(FAILURE):
            self._failure = typed_json(line[1:], str)
        elif line.startswith(STATUS):
            self._status = typed_json(line[1:], int)
        else:
            self._hear(line[1:])
