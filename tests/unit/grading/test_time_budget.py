"""What a submission spends is its own, and it has no more than it was given."""

from __future__ import annotations

import pytest

from labkit.errors import KernelEnded
from labkit.grading.time_budget import TimeBudget


class Clock:
    """A clock that goes on when somebody works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> float:
        self.now += seconds
        return seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_is_asked_has_its_time_or_what_is_left(clock: Clock) -> None:
    budget = TimeBudget(100, "all", clock)
    assert budget.spend(30, clock.work) == 30
    clock.work(1000)  # while nothing is asked
    assert budget.spend(80, clock.work) == 70
    with pytest.raises(KernelEnded, match=r"^The time for all, 100 s, is over\.$"):
        budget.spend(1, clock.work)
    with pytest.raises(KernelEnded):
        budget.left()


def test_what_fails_is_paid_for_too(clock: Clock) -> None:
    budget = TimeBudget(100, "all", clock)

    def hang(left: float) -> None:
        clock.work(left)
        raise KernelEnded("It has not returned in time.")

    with pytest.raises(KernelEnded, match="not returned"):
        budget.spend(90, hang)
    assert budget.left() == 10
