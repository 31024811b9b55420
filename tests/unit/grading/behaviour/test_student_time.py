"""The time that student code has: it passes with looks at it, a little with each."""

from __future__ import annotations

import pytest

from labkit.grading.behaviour.student_time import MOST_BETWEEN, StudentTime
from tests.unit.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_is_looked_at_often_counts_in_full(clock: Clock) -> None:
    time = StudentTime(clock, timeout=2.0)
    for _ in range(8):
        clock.now += 0.25
        assert not time.is_over()
    assert time.now() == 2.0
    clock.now += 0.25
    assert time.is_over()


def test_a_computer_that_does_not_look_for_long_takes_little(clock: Clock) -> None:
    time = StudentTime(clock, timeout=60.0)
    for number in range(1, 21):
        clock.now += 600.0
        assert time.now() == number * MOST_BETWEEN
    assert not time.is_over()


def test_what_is_skipped_does_not_count(clock: Clock) -> None:
    time = StudentTime(clock, timeout=60.0)
    clock.now += 0.25
    time.now()
    clock.now += 0.25
    time.skip()
    assert time.now() == 0.25
