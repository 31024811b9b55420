"""When a failed task is tried again."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import SettingsError
from labkit.taskqueue.engine.worker_config import Retry


@given(st.integers(1, 1000), st.randoms(use_true_random=False))
def test_delays_double_up_to_the_longest_and_are_never_less_than_half(attempt, rng):
    delay = Retry(attempts=2000, first=0.1, longest=10).delay(attempt, rng)
    whole = min(10, 0.1 * 2 ** (attempt - 1)) if attempt < 50 else 10
    assert whole / 2 <= delay <= whole


def test_the_last_attempt_is_the_last():
    retry = Retry(attempts=3)
    assert [retry.delay(attempt, random.Random(1)) is None for attempt in (1, 2, 3)] == [False, False, True]


def test_jitter_parts_those_that_failed_together():
    rng = random.Random(1)
    assert len({Retry().delay(1, rng) for _ in range(20)}) == 20


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"first": -1.0}, {"longest": -1.0}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(SettingsError, match=f"{next(iter(wrong))!r} of Retry is .*; give a "):
        Retry(**wrong)
