"""A guaranteed share of all starts for some classes, strict priority for the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.policies.policy import POLICIES, Decision, View, hold, start


@POLICIES.register
@dataclass(frozen=True, slots=True)
class Quota:
    """A class that waits earns its share of each start, and goes first once it has earned a whole one.

    What nobody has earned goes to the most urgent class. So a class with share q that waits all the time gets more than
    q n - m of any n starts, where m classes have a share: what all of them are owed together stays below m. Earning is
    a token bucket for each class, which is empty when its wait begins. A start that it was not owed costs it no more
    than it has: spare capacity used is not paid for later.
    """

    name: ClassVar[str] = "quota"

    def decide(self, view: View, now: float) -> Decision:
        """Start the most urgent class of those that are owed a start, or else of all, if there is room."""
        waiting = view.startable
        if not waiting:
            return hold(view)
        earned = {one.name: one.credit + one.share for one in waiting if one.share > 0}
        owed = tuple(one for one in waiting if earned.get(one.name, 0.0) >= 1)
        chosen = (owed or waiting)[0]
        if chosen.name in earned:
            earned[chosen.name] = max(0.0, earned[chosen.name] - 1)
        reason = "a guaranteed share goes first" if owed else "a more urgent class waits"
        return start(view, chosen, reason, earned)
