"""Aging: waiting raises the priority, so that nobody is overtaken for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.policies.policy import POLICIES, ClassView, Decision, View, hold, start


@POLICIES.register
@dataclass(frozen=True, slots=True)
class Aging:
    """A task rises by `rate` classes per second while it waits, and the task that stands highest goes first.

    Time-dependent priorities, Kleinrock 1964, "A Delay Dependent Queue Discipline"; that all rise equally fast and
    begin at their class is the form of Jackson 1960. A task of rank r overtakes one of a lower class, rank r + d, only
    if it arrived less than d / rate seconds after it. A low rate is close to `strict`, a high one to first come, first
    served.
    """

    name: ClassVar[str] = "aging"

    rate: float = 1.0

    def __post_init__(self) -> None:
        POLICIES.positive(self, "rate")

    def decide(self, view: View, now: float) -> Decision:
        """Start the class whose first task stands highest, and of equals the more urgent one, if there is room."""
        waiting = view.startable
        if not waiting:
            return hold(view)
        chosen = min(waiting, key=lambda one: (self._stands_at(one, now), one.rank))
        return start(view, chosen, "another class has risen higher")

    def _stands_at(self, one: ClassView, now: float) -> float:
        waited = 0.0 if one.arrived_at is None else now - one.arrived_at
        return one.rank - self.rate * waited
