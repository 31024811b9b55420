"""What a backend starts for one command: the watch over it goes by this, whatever the sandbox is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from labkit.grading.sandbox.contract import LimitName


class ProcessEnd(NamedTuple):
    """How it has ended: the status as `ProcessGroup.reap` has it, and the limits that are known to be used up."""

    status: int | None
    used_up: frozenset[LimitName]


class SandboxProcess(Protocol):
    """A command in its sandbox. It belongs to the thread that has started it."""

    @property
    def end_watch(self) -> Sequence[int]:
        """Descriptors of which one is readable when it has ended; nothing where the system does not tell."""

    def has_ended(self) -> bool:
        """Whether it has ended; what it has started may live."""

    def end(self) -> ProcessEnd:
        """End it with all that it has started, and return when all of that is gone."""
