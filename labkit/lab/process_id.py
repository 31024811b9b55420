"""Processes known by their pid and their birth, so that a recycled pid is never taken for one of ours."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.lab.condition import wait_for

if TYPE_CHECKING:
    import psutil  # imported where it is used: a start need not wait for it


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process: `birth` is when it began, in seconds since the epoch; since the boot on Linux."""

    pid: int
    birth: float

    def alive(self) -> bool:
        """Is this very process still there, and not merely waiting to be reaped?"""
        return self.process() is not None

    def process(self) -> psutil.Process | None:
        """The process, or None if it has ended."""
        import psutil

        try:
            process = psutil.Process(self.pid)
            if abs(_birth(process) - self.birth) < 0.1 and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # what is ours can be asked
            pass
        return None

    def memory(self) -> int:
        """Resident memory in bytes; 0 if the process has ended."""
        import psutil

        process = self.process()
        try:
            return 0 if process is None else process.memory_info().rss
        except psutil.NoSuchProcess:
            return 0

    def listens(self, port: int) -> bool:
        """Is it this process that listens on the TCP port now? Where it may not be looked into, it may be."""
        import psutil

        process = self.process()
        try:
            found = [] if process is None else process.net_connections("tcp")
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True  # it may be
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in found)

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens if the process has ended."""
        import psutil

        process = self.process()
        try:
            if process is not None:
                process.send_signal(number)
        except psutil.NoSuchProcess:
            return

    def wait(self, timeout: float) -> bool:
        """Wait until the process has ended; False if it is still there after `timeout` seconds.

        Not psutil's own wait: that waits until the parent has reaped the process, which some containers never do.
        """
        return wait_for(lambda: not self.alive(), timeout)


def process_id(pid: int) -> ProcessId | None:
    """The process that has this pid now; None if there is none."""
    import psutil

    try:
        return ProcessId(pid, _birth(psutil.Process(pid)))
    except psutil.NoSuchProcess:
        return None


def _birth(process: psutil.Process) -> float:
    import psutil

    # Linux counts from the boot, and psutil adds the boot time, which moves when the clock is set: take it off again.
    since = psutil.boot_time() if sys.platform == "linux" else 0.0
    return process.create_time() - since
