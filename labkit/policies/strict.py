"""Strict priority: always the most urgent class in which a task waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.policies.policy import POLICIES, Decision, View, hold, start


@POLICIES.register
@dataclass(frozen=True, slots=True)
class Strict:
    """The most urgent class goes first, whatever the others have waited; nothing in service is interrupted.

    The head-of-the-line discipline of Cobham 1954. A class starves when the more urgent ones and itself together
    offer as much as the servers can do: see `labkit.theory.queues.mean_waits`.
    """

    name: ClassVar[str] = "strict"

    def decide(self, view: View, now: float) -> Decision:
        """Start the first class in rank order, if there is room."""
        waiting = view.startable
        if not waiting:
            return hold(view)
        return start(view, waiting[0], "a more urgent class waits")
