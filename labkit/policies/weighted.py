"""Deficit round robin: classes are served in proportion to their weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.policies.policy import POLICIES, ClassView, Decision, View, hold, start


@POLICIES.register
@dataclass(frozen=True, slots=True)
class Weighted:
    """Classes take turns, and each turn is as long as the class is heavy: nobody starves, no capacity is left unused.

    Deficit round robin, Shreedhar & Varghese 1995, with the task as the unit of work. At its turn a class is credited
    its weight, in units of the lightest class's, and served while a whole start is left of it; a fraction stays for the
    next turn, unless it runs out of tasks.

    The bound on unfairness: over any span in which classes i and j both wait all the time, their starts S differ by
    |S_i / w_i - S_j / w_j| <= 1 + 1 / w_i + 1 / w_j, with the weights in units of the lightest: one is ahead of the
    other by a turn at most, and by what either had left of a start. With equal weights it is the 2 Max + Quantum of
    that paper, with packets of one size.
    """

    name: ClassVar[str] = "weighted"

    def decide(self, view: View, now: float) -> Decision:
        """Go on with the class whose turn it is while it has credit, then take the next one in rank order."""
        waiting = view.startable
        if not waiting:
            return hold(view)
        turn = next((one for one in waiting if one.name == view.last), None)
        if turn is not None and turn.credit >= 1:
            chosen, credit = turn, turn.credit
        else:
            chosen = _after(view, waiting)
            credit = chosen.credit + chosen.weight / min(one.weight for one in view.classes)
        return start(view, chosen, "not its turn", {chosen.name: credit - 1})


def _after(view: View, waiting: tuple[ClassView, ...]) -> ClassView:
    """The class that waits and comes next in the circle after the one started last, which itself comes at the end."""
    last = next((one.rank for one in view.classes if one.name == view.last), -1)
    return next((one for one in waiting if one.rank > last), waiting[0])
