"""A process that is the head of a session and a process group: its signals, its end, and the end of the whole group."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from labkit.process import process_guard

log = logging.getLogger("labkit.process")


class ProcessGroup:
    """The group, from the start of its head until it is reaped, which is up to the thread that has made it.

    Linux kills the head when that thread ends: it must live as long as the group. The others of the group are killed
    with the head by `reap`, and by the guard should this process be gone. `end_watch` holds a descriptor that is
    readable when the head has ended; nothing where there is none. Nothing else reaps, so the number stays the head's.
    But where this process ignores SIGCHLD the system reaps the head when it ends, and nobody knows with which status.
    It begins in this `folder`, or where this process is.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        output: int,
        inherited: Sequence[int],
        environment: Mapping[str, str] | None,
        folder: Path | None = None,
    ) -> None:
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=inherited,
            env=environment,
            cwd=folder,
            start_new_session=True,  # Ctrl-C in the terminal is for this process, which stops its own in order
        )
        self.pid = self._process.pid
        self.end_watch = _end_watch(self.pid)
        self._lock = threading.RLock()
        self._ended = self._reaped = False
        self._status: int | None = None
        self._tell_guard(process_guard.guard.add)

    def has_ended(self) -> bool:
        """Whether the head has ended; it is not reaped by that, if the system can look without."""
        if self._reaped or not hasattr(os, "waitid"):
            return self._take(os.WNOHANG)
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return self._take(os.WNOHANG)

    def signal(self, number: int) -> None:
        """Send a signal to all of the group; nothing happens once `reap` has ended it. Any thread may call it."""
        with self._lock:
            if not self._ended:
                self._signal(number)

    def reap(self) -> int | None:
        """Kill what is left of the group and reap the head; returns its status, a signal as a negative number.

        None where nobody knows it.
        """
        with self._lock:
            self._signal(signal.SIGKILL)
            self._take(0)
            self._ended = True
        for number in self.end_watch:
            os.close(number)
        self.end_watch = ()
        self._tell_guard(process_guard.guard.remove)
        return self._status

    def _take(self, options: int) -> bool:
        """Reap the head if it has ended, or wait for that; whether it is reaped."""
        with self._lock:
            if not self._reaped:
                try:
                    pid, status = os.waitpid(self.pid, options)
                    self._reaped = pid != 0
                    self._status = os.waitstatus_to_exitcode(status) if pid else None
                except ChildProcessError:
                    self._reaped = True
                if self._reaped:
                    self._process.returncode = self._status or 0  # `Popen` would complain that it still runs
            return self._reaped

    def _signal(self, number: int) -> None:
        if self.has_ended() and self._reaped:
            import psutil  # imported where it is used: hardly ever, and a start need not wait for it

            if psutil.pid_exists(self.pid):
                return  # the number is another one's by now: it can be free only when nothing is left of the group
        _signal_group(self.pid, number)

    def _tell_guard(self, tell: Callable[[int], None]) -> None:
        try:
            tell(self.pid)
        except Exception as error:  # noqa: BLE001 - the child ends with us all the same, but perhaps not what it starts
            log.warning("nobody watches over what the children of this process start: %s", error)


def _end_watch(pid: int) -> tuple[int, ...]:
    if sys.platform != "linux":
        return ()
    try:
        return (os.pidfd_open(pid),)
    except OSError:  # an old kernel, or a sandbox that imitates one
        return ()


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # only what waits to be reaped is left; macOS says so by the latter
        return
