"""Slowing down in proportion to the lag."""

from itertools import pairwise

import pytest

from labkit.backpressure import Action, AdmissionState, make_strategy


def test_there_is_no_gap_up_to_the_threshold():
    admission = AdmissionState(make_strategy("slow", threshold=5))
    assert [admission.judge(0.0, lag=lag).action for lag in (0, 3, 5)] == [Action.ADMIT] * 3


def test_the_gap_grows_with_the_lag_beyond_the_threshold():
    admission = AdmissionState(make_strategy("slow", threshold=5, per_task=0.25, look=10.0))
    assert admission.judge(8.0, lag=7).action is Action.ADMIT, "no task came before this one"
    early = admission.judge(8.125, lag=7)
    assert (early.action, early.seconds) == (Action.WAIT, 0.375)
    assert early.reason == "7 tasks are not finished, 2 more than the threshold"
    assert admission.judge(8.125, lag=9).seconds == 0.875, "asked anew, with the lag of that moment"
    assert admission.judge(8.5, lag=7).action is Action.ADMIT
    assert admission.judge(8.5, lag=7).action is Action.WAIT, "the gap is from the last task on"


def test_it_looks_again_before_a_long_gap_is_over():
    admission = AdmissionState(make_strategy("slow", threshold=0, per_task=1.0, look=0.5))
    admission.judge(0.0, lag=0)
    assert admission.judge(0.0, lag=1_000_000).seconds == 0.5
    assert admission.judge(0.5, lag=0).action is Action.ADMIT


@pytest.mark.parametrize("lag", [6, 12])
def test_a_sender_who_waits_as_told_keeps_the_gap(lag):
    admission, now, sent = AdmissionState(make_strategy("slow", threshold=5, per_task=0.1, look=0.07)), 0.0, []
    while len(sent) < 20:
        verdict = admission.judge(now, lag=lag)
        if verdict.action is Action.ADMIT:
            sent.append(now)
        now += verdict.seconds
    gaps = [after - before for before, after in pairwise(sent)]
    assert gaps == pytest.approx([0.1 * (lag - 5)] * 19)
