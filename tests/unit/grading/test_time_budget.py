"""What a submission spends is its own, and it has no more than it was given."""

from __future__ import annotations

import pytest

from labkit.errors import KernelEnded
from labkit.grading.time_budget import TimeBudget
from tests.unit.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


def test_what_is_asked_has_its_time_or_what_is_left(clock: Clock) -> None:
    budget = TimeBudget(100, "all", clock)

    def working(left: float) -> float:
        clock.pause(left)
        return left

    assert budget.spend(30, working) == 30
    clock.pause(1000)  # while nothing is asked
    assert budget.spend(80, working) == 70
    with pytest.raises(KernelEnded, match=r"^The time for all, 100 s, is over\.$"):
        budget.spend(1, working)
    with pytest.raises(KernelEnded):
        budget.left()


def test_what_fails_is_paid_for_too(clock: Clock) -> None:
    budget = TimeBudget(100, "all", clock)

    def hang(left: float) -> None:
        clock.pause(left)
        raise KernelEnded("It has not returned in time.")

    with pytest.raises(KernelEnded, match="not returned"):
        budget.spend(90, hang)
    assert budget.left() == 10
