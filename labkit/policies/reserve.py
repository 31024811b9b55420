"""The original design of the dispatcher: urgent tasks go straight to the queue, the others wait while it is full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.policies.policy import FULL, POLICIES, Decision, View, hold, start


@POLICIES.register
@dataclass(frozen=True, slots=True)
class Reserve:
    """The most urgent class is started at once, also beyond the capacity; the others only while there is room.

    So an urgent task waits behind what has been started, never behind what has not, and the queue is as long as the
    urgent tasks make it. Among the others the more urgent class goes first, as in `strict`.
    """

    name: ClassVar[str] = "reserve"

    def decide(self, view: View, now: float) -> Decision:
        """Start rank 0 in any case, another class if there is room."""
        waiting = view.backlogged
        if not waiting or (view.full and waiting[0].rank > 0):
            return hold(view)
        return start(view, waiting[0], FULL if view.full else "a more urgent class waits")
