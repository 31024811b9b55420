"""What a dispatcher remembers between two decisions: who was started last, and what is still owed to each class."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from labkit.errors import SettingsError
from labkit.policies.contract import Backlog, ClassView, Decision, PriorityClass, View


class Ledger:
    """The memory of one dispatcher, which makes the views its policy decides on.

    It lives as long as the dispatcher: a new one begins with nothing owed. A class with nothing to do is owed nothing,
    so nobody saves up for later.
    """

    def __init__(self, classes: Sequence[PriorityClass]) -> None:
        """`classes` in rank order, most urgent first. Raises `SettingsError` if they do not go together."""
        _must_go_together(classes)
        self.classes = tuple(classes)
        self._credits = dict.fromkeys((one.name for one in classes), 0.0)
        self._last: str | None = None

    def view(self, backlogs: Sequence[Backlog], *, taken: int, capacity: int) -> View:
        """The view of these backlogs, one per class in rank order. What is owed to a class without any lapses.

        Raises ValueError if there is not one backlog per class.
        """
        for known, backlog in zip(self.classes, backlogs, strict=True):
            if not backlog.waiting:
                self._credits[known.name] = 0.0
        views = (self._class_view(rank, backlog) for rank, backlog in enumerate(backlogs))
        return View(classes=tuple(views), taken=taken, capacity=capacity, last=self._last)

    def note(self, decision: Decision) -> None:
        """The decision has been carried out: what it started is on its way."""
        if decision.start is not None:
            self._last = decision.start
            self._credits.update(decision.credits)

    def _class_view(self, rank: int, backlog: Backlog) -> ClassView:
        known = self.classes[rank]
        return ClassView(
            name=known.name,
            rank=rank,
            waiting=backlog.waiting,
            arrived_at=backlog.arrived_at,
            deadline=backlog.deadline,
            weight=known.weight,
            share=known.share,
            limit=known.limit,
            credit=self._credits[known.name],
        )


def _must_go_together(classes: Sequence[PriorityClass]) -> None:
    if not classes:
        raise SettingsError("There is no priority class; name at least one.")
    twice = [name for name, times in Counter(one.name for one in classes).items() if times > 1]
    if twice:
        raise SettingsError(f"There are two priority classes named {twice[0]!r}; give each a name of its own.")
    shares = math.fsum(one.share for one in classes)
    if shares > 1:
        raise SettingsError(f"The shares of the classes add up to {shares:g}; nobody can be guaranteed more than all.")
