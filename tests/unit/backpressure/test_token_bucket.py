"""The token bucket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.backpressure import Action, AdmissionState, make_strategy


def let_in(rate, burst, arrivals):
    """When each task is let in, if each waits as long as it is told and nobody overtakes."""
    admission, now, moments = AdmissionState(make_strategy("token_bucket", rate=rate, burst=burst)), 0.0, []
    for arrival in arrivals:
        now = max(now, arrival)
        while (verdict := admission.judge(now, lag=0)).action is Action.WAIT:
            now += verdict.seconds
        moments.append(now)
    return moments


def test_a_burst_and_then_the_rate():
    assert let_in(2.0, 3, [0.0] * 6) == [0.0, 0.0, 0.0, 0.5, 1.0, 1.5]


def test_the_bucket_fills_while_nobody_comes_and_never_above_the_burst():
    assert let_in(2.0, 3, [0.0] * 3 + [1.0] * 3) == [0.0, 0.0, 0.0, 1.0, 1.0, 1.5]
    assert let_in(2.0, 3, [0.0] * 3 + [99.0] * 4) == [0.0, 0.0, 0.0, 99.0, 99.0, 99.0, 99.5]


def test_who_waits_is_told_why():
    admission = AdmissionState(make_strategy("token_bucket", rate=2.0, burst=1))
    admission.judge(0.0, lag=0)
    assert admission.judge(0.125, lag=0).seconds == 0.375
    assert admission.judge(0.125, lag=0).reason == "more than 2 tasks a second come"


@given(st.floats(0.1, 50.0), st.integers(1, 5), st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40))
def test_no_span_of_time_holds_more_than_the_burst_and_the_rate(rate, burst, gaps):
    arrivals = [sum(gaps[: index + 1]) for index in range(len(gaps))]
    moments = let_in(rate, burst, arrivals)
    assert all(at >= arrival for at, arrival in zip(moments, arrivals, strict=True))
    for first, begin in enumerate(moments):
        for last in range(first, len(moments)):
            assert last - first + 1 <= burst + rate * (moments[last] - begin) + 1e-6


def test_an_endless_supply_is_let_in_at_the_rate():
    moments = let_in(7.0, 4, [0.0] * 704)
    assert moments[-1] == pytest.approx(100.0)
