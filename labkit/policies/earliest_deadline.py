"""Earliest deadline first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from labkit.policies.policy import POLICIES, ClassView, Decision, View, hold, start


@POLICIES.register
@dataclass(frozen=True, slots=True)
class EarliestDeadline:
    """The task that is due first goes first. A class without a deadline waits for those that have one.

    EDF, Liu & Layland 1973. On one server, and if tasks can be interrupted, it meets all deadlines whenever they can
    all be met; tasks here run to their end. In overload it spreads the lateness over all classes with a deadline.
    """

    name: ClassVar[str] = "earliest_deadline"

    def decide(self, view: View, now: float) -> Decision:
        """Start the class whose first task is due first, and of equals the more urgent one, if there is room."""
        waiting = view.startable
        if not waiting:
            return hold(view)
        return start(view, min(waiting, key=_due), "another class is due earlier")


def _due(one: ClassView) -> tuple[float, int]:
    return (math.inf if one.deadline is None else one.deadline, one.rank)
