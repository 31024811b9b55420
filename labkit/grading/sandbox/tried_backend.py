"""What every sandbox needs of the machine and of this process, and that it is tried before student code runs in it."""

from __future__ import annotations

import platform
import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from labkit.errors import SandboxUnavailable
from labkit.grading.sandbox.contract import Limits
from labkit.grading.sandbox.conversation import PipeConversation
from labkit.grading.sandbox.seccomp_filter import MACHINES

#: What is tried to see whether a sandbox can be made, and how long it may take, in seconds.
TRIAL, TRIAL_TIMEOUT = (sys.executable, "-I", "-c", "pass"), 120.0


class TriedBackend(ABC):
    """Keeps `Backend`. It is tried once in a process, and again as long as it does not work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._works = False

    def check(self) -> None:
        """Return if student code can run here; else raise `SandboxUnavailable`, which says what to install or do."""
        _check_signals()
        with self._lock:
            if not self._works:
                _check_machine()
                self._try()
                self._works = True

    def start(
        self,
        command: Sequence[str],
        *,
        limits: Limits = Limits(),  # noqa: B008 - it is frozen
        files: Mapping[str, bytes] | None = None,
        sockets: Mapping[int, Path] | None = None,
    ) -> PipeConversation:
        """Start the command, as `Backend` says."""
        self.check()
        return self._start(command, limits, files or {}, sockets or {})

    @abstractmethod
    def _try(self) -> None:
        """Return if one can be made here; else raise `SandboxUnavailable`."""

    @abstractmethod
    def _start(
        self, command: Sequence[str], limits: Limits, files: Mapping[str, bytes], sockets: Mapping[int, Path]
    ) -> PipeConversation:
        """Start the command in one."""


def _check_signals() -> None:
    """Raise `SandboxUnavailable` where nobody is told how a process has ended."""
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        raise SandboxUnavailable(
            "Student code runs only where it is known how it ends, and this process ignores SIGCHLD, so nobody is "
            "told. Give it its usual effect: `signal.signal(signal.SIGCHLD, signal.SIG_DFL)`."
        )


def _check_machine() -> None:
    """Raise `SandboxUnavailable` on a system or a processor whose calls nobody has listed."""
    if sys.platform != "linux" or platform.machine() not in MACHINES:
        raise SandboxUnavailable(
            "Student code runs only in a sandbox, which is made of what Linux has on x86-64 and AArch64; this is "
            f"{platform.system()} on {platform.machine()}. Grade on such a machine, a virtual one will do."
        )
