"""A dispatcher with nothing around it: classes, how many tasks wait in each, and one start after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from labkit.policies import Backlog, Decision, Ledger, Policy, PriorityClass, View


class Counter:
    """Hands out one start after the other; there is always room. `starts` holds the ranks started so far."""

    def __init__(self, policy: Policy, classes: Sequence[PriorityClass]) -> None:
        self.waiting = [0] * len(classes)
        self.starts: list[int] = []
        self._policy = policy
        self._ledger = Ledger(classes)
        self._ranks = {one.name: rank for rank, one in enumerate(classes)}

    def view(self) -> View:
        backlogs = [Backlog(waiting=number, arrived_at=0.0, deadline=None) for number in self.waiting]
        return self._ledger.view(backlogs, taken=0, capacity=1)

    def start(self) -> Decision:
        decision = self._policy.decide(self.view(), 0.0)
        if decision.start is not None:
            self._ledger.note(decision)
            self.starts.append(self._ranks[decision.start])
            self.waiting[self._ranks[decision.start]] -= 1
        return decision

    def start_many(self, number: int, refill: Sequence[int]) -> list[int]:
        """The ranks of this many starts while the classes of `refill` never run empty."""
        before = len(self.starts)
        for _ in range(number):
            for rank in refill:
                self.waiting[rank] = max(self.waiting[rank], 2)
            self.start()
        return self.starts[before:]


@pytest.fixture(scope="session")
def counter() -> Callable[[Policy, Sequence[PriorityClass]], Counter]:
    return Counter


@pytest.fixture(scope="session")
def view_of() -> Callable[..., View]:
    """A view of classes named a, b, c, …: for each what waits, as (how many, arrived at, deadline) or a number."""

    def make(
        *waiting: int | tuple[int, float | None, float | None],
        taken: int = 0,
        capacity: int = 1,
        classes: Sequence[PriorityClass] | None = None,
    ) -> View:
        known = classes or [PriorityClass(name=name) for name in "abcdef"[: len(waiting)]]
        given = [(one, 0.0, None) if isinstance(one, int) else one for one in waiting]
        backlogs = [Backlog(waiting=number, arrived_at=at, deadline=due) for number, at, due in given]
        return Ledger(known).view(backlogs, taken=taken, capacity=capacity)

    return make
