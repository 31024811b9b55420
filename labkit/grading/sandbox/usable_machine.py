"""What every sandbox needs of the machine and of this process, and says if it is not there."""

from __future__ import annotations

import platform
import signal
import sys

from labkit.errors import SandboxUnavailable
from labkit.grading.sandbox.seccomp_filter import MACHINES


def check_signals() -> None:
    """Raise `SandboxUnavailable` where nobody is told how a process has ended."""
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        raise SandboxUnavailable(
            "Student code runs only where it is known how it ends, and this process ignores SIGCHLD, so nobody is "
            "told. Give it its usual effect: `signal.signal(signal.SIGCHLD, signal.SIG_DFL)`."
        )


def check_machine() -> None:
    """Raise `SandboxUnavailable` on a system or a processor whose calls nobody has listed."""
    if sys.platform != "linux" or platform.machine() not in MACHINES:
        raise SandboxUnavailable(
            "Student code runs only in a sandbox, which is made of what Linux has on x86-64 and AArch64; this is "
            f"{platform.system()} on {platform.machine()}. Grade on such a machine, a virtual one will do."
        )
