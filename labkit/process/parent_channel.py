"""The child's side of the protocol: its orders come from its parent, its reports go there, and it ends with it.

Both go over descriptors that only this module knows. Standard input, output and error belong to whatever the process
runs, which may print, read, start programs, fork, or close what it likes.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, NoReturn, TypeVar

from msgspec.json import decode, encode

from labkit.errors import LabkitError

#: How a line begins: with an order or a report, which are JSON and up to the two, …
WORDS = b" "
#: … with the order to stop, or with why the process could not go on, as JSON too, …
STOP, FAILURE = b".", b"!"
#: … or with the status with which it is about to end, its last report: the system may tell the parent none.
STATUS = b"="
#: The status with which a process ends that was cut off from its parent, since its descriptors were closed.
CUT_OFF = 86
#: How often a process looks whether its parent is still there, in seconds; the end of the orders usually tells at once.
WATCH_INTERVAL = 0.5

#: Ours begin here, away from the numbers that a handler's own files get, and that it may close.
_FIRST_DESCRIPTOR = 64
#: Linux, <sys/prctl.h>
_PR_SET_PDEATHSIG = 1

T = TypeVar("T")


class ParentChannel:
    """What leads to the parent. `orders` and `reports` are inherited descriptors, `parent` is its process id."""

    def __init__(self, orders: int, reports: int, parent: int) -> None:
        self._pid = os.getpid()
        self._parent = parent
        _die_with(parent)
        self._orders = _Descriptor(orders)
        self._reports = _Descriptor(reports)
        self._reporting = threading.Lock()
        self._lines: SimpleQueue[bytes] = SimpleQueue()
        self._stopped = False
        threading.Thread(target=self._read, name="labkit-orders", daemon=True).start()

    def job(self) -> dict[str, Any]:
        """The first order: what this process is for."""
        job: dict[str, Any] = decode(self._lines.get()[1:])
        return job

    def orders(self) -> Iterator[bytes]:
        """The orders that come after the job, as JSON, one by one as they come; it ends with the order to stop."""
        while not self._stopped:
            line = self._lines.get()
            if line.startswith(STOP):
                self._stopped = True
            else:
                yield line[1:]

    def listen(self, *, on_stop: Callable[[], object], on_order: Callable[[bytes], object] | None = None) -> None:
        """Take the orders on a thread of its own: from now on they are not for `orders`.

        A process that could not take its orders would not stop, so it ends when one of them fails.
        """

        def take() -> None:
            try:
                for order in self.orders():
                    if on_order is not None:
                        on_order(order)
                on_stop()
            except BaseException as error:  # noqa: BLE001 - it is reported, and the process ends
                log_exception()
                self.fail(error)
                _leave(1)

        threading.Thread(target=take, name="labkit-stop", daemon=True).start()

    def report(self, message: object) -> None:
        """Tell the parent, who hears of all reports in their order, also of the last ones before a kill."""
        self._send(WORDS + encode(message))

    def fail(self, error: BaseException) -> None:
        """Report why this process could not go on. It ends now."""
        self._send(FAILURE + encode(_why(error)))

    def end(self, status: int) -> None:
        """The last report: with which status this process ends now."""
        self._send(STATUS + encode(status))

    def _send(self, line: bytes) -> None:
        if os.getpid() != self._pid:  # a copy that a handler has forked came back from it
            os._exit(1)  # nobody knows how; what its streams hold may not be its own
        data = memoryview(line + b"\n")
        with self._reporting:
            try:
                while data:
                    data = data[self._reports.use(os.write, data) :]
            except BrokenPipeError:
                self._end_with_parent()

    def _read(self) -> None:
        try:
            buffer = b""
            while True:
                if not self._orders.use(_is_readable):
                    if os.getppid() != self._parent:
                        self._end_with_parent()
                    continue
                part = self._orders.use(os.read, 65536)
                if not part:
                    self._end_with_parent()
                *lines, buffer = (buffer + part).split(b"\n")
                for line in lines:
                    self._lines.put(line)
        except BaseException:  # noqa: BLE001 - without its orders the process would never end
            log_exception()
            _leave(1)

    def _end_with_parent(self) -> NoReturn:
        """The parent is gone, and with it everybody who could want what this process does."""
        if os.getpgrp() == self._pid:
            os.killpg(self._pid, signal.SIGKILL)  # with all that the handlers have started
        os._exit(1)


class _Descriptor:
    """One of ours: under a number of its own, not handed on to programs, and known again should somebody close it."""

    def __init__(self, inherited: int) -> None:
        self._number = fcntl.fcntl(inherited, fcntl.F_DUPFD_CLOEXEC, _FIRST_DESCRIPTOR)
        os.close(inherited)
        self._identity = _identity(self._number)

    def use(self, call: Callable[..., T], *rest: object) -> T:
        """What a system call says of it; the process ends if it stands for something else by then, or for nothing."""
        self._check()
        try:
            said = call(self._number, *rest)
        except OSError:
            self._check()
            raise
        if not said:  # the end of a pipe, perhaps of another one: it may have been closed meanwhile
            self._check()
        return said

    def _check(self) -> None:
        with suppress(OSError):
            if _identity(self._number) == self._identity:
                return
        log_line("The descriptors that lead to the parent were closed; this process ends.")
        _leave(CUT_OFF)


def _is_readable(number: int) -> bool:
    return bool(select.select([number], [], [], WATCH_INTERVAL)[0])


def _identity(number: int) -> tuple[int, int]:
    status = os.fstat(number)
    return status.st_dev, status.st_ino


def log_exception() -> None:
    """Write what was raised into the log of this process, as far as the handlers have left it one."""
    with suppress(Exception):
        traceback.print_exc()


def log_line(text: str) -> None:
    """Write a line into the log of this process, as far as the handlers have left it one."""
    with suppress(Exception):
        print(text, file=sys.stderr)  # noqa: T201


def let_go_of_streams() -> None:
    """Write out what the streams hold, and forget those that cannot.

    They are the handlers', who may have closed them or put anything in their place. Python would end with status 120.
    """
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except Exception:  # noqa: BLE001 - whatever stands there
            setattr(sys, name, None)


def _leave(status: int) -> NoReturn:
    let_go_of_streams()
    os._exit(status)


def _die_with(parent: int) -> None:
    """Let Linux kill this process when its parent ends, whatever it does then, also if that has happened already."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _why(error: BaseException) -> str:
    """The error in words, whatever its own are: `str` of it may fail, or be no UTF-8."""
    name = type(error).__name__
    try:
        words = str(error) if issubclass(type(error), LabkitError) else f"{name}: {error}"
        return words.encode("utf-8", "backslashreplace").decode()
    except BaseException:  # noqa: BLE001 - its own code
        return name
