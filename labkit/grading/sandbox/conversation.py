"""A conversation with a command over two private pipes, and the watch over it until all that it has started is gone."""

from __future__ import annotations

import json
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from labkit.errors import SandboxUnavailable
from labkit.grading.sandbox.contract import Ended, Ending, Late, Limits, Malformed, Reply, Said, TooLong
from labkit.grading.sandbox.conversation_pipes import ConversationPipes
from labkit.grading.sandbox.exit_status import Cause, ending_of
from labkit.grading.sandbox.sandbox_process import SandboxProcess
from labkit.resource import Resource

#: How long a command whose descriptors are closed may take to be seen to have ended, in seconds, before it is ended.
CUT_OFF_GRACE = 2.0
#: How often to look whether a process still runs, in seconds, where the system does not tell.
LOOK_INTERVAL = 0.05

log = logging.getLogger("labkit.grading")


class PipeConversation(Resource):
    """Keeps `Conversation`. `begin` starts the command; what it needs is `held`, which is closed when that is gone.

    A thread of its own starts the command, since Linux kills it when that thread ends, and attends to it. What it tells
    stays in the pipe until somebody listens, so that it fills no memory here.
    """

    def __init__(
        self, begin: Callable[[], SandboxProcess], pipes: ConversationPipes, *, limits: Limits, held: ExitStack
    ) -> None:
        self._start_process = begin
        self._pipes = pipes
        self._limits = limits
        self._held = held
        #: what runs it, once it is launched
        self.process: SandboxProcess | None = None
        self._output = bytearray()
        self._heard = bytearray()
        self._half_told = False
        self._talk = threading.Lock()
        self._take = threading.Lock()
        self._closed = False
        self._cause: Cause = None
        self._ending: Ending | None = None
        self._error: BaseException | None = None
        self._unwatched = False
        self._begun = threading.Event()
        self._over, self._tell_over = os.pipe()  # the end of its writer is the end of the command
        self._stop, self._ask_to_stop = os.pipe()
        self._thread = threading.Thread(target=self._run, name="labkit-sandbox", daemon=True)

    def launch(self) -> PipeConversation:
        """Start the command. Raises `SandboxUnavailable` if its sandbox does not start."""
        self._thread.start()
        self._begun.wait()
        if self._error is not None:
            self.close()
            if isinstance(self._error, SandboxUnavailable):
                raise self._error
            raise SandboxUnavailable(f"The sandbox could not be started: {self._error}") from self._error
        return self

    def send(self, message: object, timeout: float) -> bool:
        """Tell it this, as `Conversation` says."""
        data = memoryview(json.dumps(message).encode() + b"\n")
        deadline = time.monotonic() + timeout
        with self._talk:
            if self._closed or self._half_told:
                return False
            poll = _poll(self._over)
            poll.register(self._pipes.orders.number, select.POLLOUT)
            while data:
                ready = {number for number, _ in poll.poll(_milliseconds(deadline))}
                if not ready or self._over in ready:
                    return False
                try:
                    data = data[os.write(self._pipes.orders.number, data) :]
                    self._half_told = bool(data)
                except BlockingIOError:
                    continue
                except BrokenPipeError:  # `receive` says how it has ended
                    return False
        return True

    def receive(self, timeout: float) -> Reply:
        """What it tells next, waited for up to `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._talk:
            while True:
                line, found, rest = self._heard.partition(b"\n")
                if len(line) > self._limits.line:
                    return TooLong(self._limits.line)
                if found:
                    self._heard = rest
                    return _understood(bytes(line))
                if self._closed:
                    return Ended(self._how())
                reply = self._listen(deadline, timeout)
                if reply is not None:
                    return reply

    def output(self) -> str:
        """What it has written to its standard output and error so far; what is no UTF-8 is replaced."""
        while len(self._output) <= self._limits.output and self._take_output():
            pass
        return bytes(self._output).decode("utf-8", errors="replace")

    def ending(self) -> Ending | None:
        """How it has ended; nothing while it runs."""
        return self._ending

    def wait(self, timeout: float) -> Ending | None:
        """How it has ended, waited for up to `timeout` seconds."""
        self._thread.join(timeout)
        return self._ending

    def close(self) -> None:
        """End it with all that it has started, and return when all of that is gone. Closing twice is no error."""
        self._end("closed")
        self._thread.join()
        with self._talk:  # whoever listens has been told that it is over
            if not self._closed:
                with self._take:
                    self._closed = True
                    self._pipes.close()
                    for number in (self._over, self._stop, self._ask_to_stop):
                        os.close(number)

    def _listen(self, deadline: float, timeout: float) -> Reply | None:
        """Take in what is there, waited for until the deadline; or say why nothing comes."""
        poll = _poll(self._over, self._pipes.reports.number)
        ready = {number for number, _ in poll.poll(_milliseconds(deadline))}
        if self._pipes.reports.number in ready:
            part = self._pipes.reports.read()
            if part == b"":
                return Ended(self._cut_off())
            self._heard += part or b""
            return None
        return Ended(self._how()) if ready else Late(timeout)

    def _cut_off(self) -> Ending:
        self._thread.join(CUT_OFF_GRACE)
        self._end("cut off")
        self._thread.join()
        return self._how()

    def _how(self) -> Ending:
        self._thread.join()
        assert self._ending is not None
        if self._unwatched:  # which is no doing of the command's
            raise SandboxUnavailable(f"{self._ending.words} Run it again.") from self._error
        return self._ending

    def _end(self, cause: Cause) -> None:
        with self._take:
            if not self._closed:
                self._cause = self._cause or cause
                os.write(self._ask_to_stop, b"!")

    # --- on the thread

    def _run(self) -> None:
        try:
            self._launch_and_attend()
        except BaseException as error:
            self._error = error
            if self._begun.is_set():
                log.exception("the watch over a sandbox has failed")
        finally:
            if self._ending is None:
                self._unwatched = True
                self._ending = Ending(1, f"The sandbox could not be watched over: {self._error}")
            os.close(self._tell_over)
            self._begun.set()

    def _launch_and_attend(self) -> None:
        with self._held:
            process = self.process = self._start_process()
            try:
                self._pipes.handed_over()
                deadline = time.monotonic() + self._limits.wall_seconds
                self._begun.set()
                cause = self._attend(process, deadline)
            finally:
                end = process.end()
            self.output()
            if end.status is None:
                raise ChildProcessError("something else has waited for its end, or SIGCHLD is ignored")
            self._ending = ending_of(end.status, cause, self._limits, end.used_up)

    def _attend(self, process: SandboxProcess, deadline: float) -> Cause:
        """Return when the command has ended, or is to be ended: why, then."""
        poll = _poll(self._stop, self._pipes.output.number, *process.end_watch)
        while not process.has_ended():
            left = _milliseconds(deadline)
            if left == 0:
                return "wall time"
            ready = {number for number, _ in poll.poll(left if process.end_watch else min(left, LOOK_INTERVAL * 1000))}
            if self._stop in ready:
                return self._cause
            if self._pipes.output.number in ready and self._take_output() == b"":
                poll.unregister(self._pipes.output.number)  # closed by the command, which may live on
            if len(self._output) > self._limits.output:
                return "output"
        return None

    def _take_output(self) -> bytes | None:
        with self._take:
            part = b"" if self._closed else self._pipes.output.read()
            if part:
                self._output += part[: self._limits.output + 1 - len(self._output)]
            return part


def _understood(line: bytes) -> Said | Malformed:
    try:
        return Said(json.loads(line.decode("utf-8")))
    except (ValueError, RecursionError) as error:
        return Malformed(f"{type(error).__name__}: {error}"[:200])


def _poll(*numbers: int) -> select.poll:
    poll = select.poll()
    for number in numbers:
        poll.register(number, select.POLLIN)
    return poll


def _milliseconds(deadline: float) -> float:
    """How long until this moment, and never less than nothing, for which `poll` would wait without end."""
    return max(0.0, (deadline - time.monotonic()) * 1000)
