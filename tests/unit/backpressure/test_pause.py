"""Pause and resume, with hysteresis."""

from labkit.backpressure import Action, AdmissionState, make_strategy

OPEN, SHUT = Action.ADMIT, Action.WAIT


def test_it_shuts_at_high_water_and_opens_at_low_water():
    admission = AdmissionState(make_strategy("pause", high=4, low=2))
    lags = [0, 3, 4, 3, 9, 3, 2, 3, 3, 4, 2]
    verdicts = [admission.judge(0.0, lag=lag).action for lag in lags]
    assert verdicts == [OPEN, OPEN, SHUT, SHUT, SHUT, SHUT, OPEN, OPEN, OPEN, SHUT, OPEN]


def test_a_pause_says_why_and_when_to_look_again():
    verdict = AdmissionState(make_strategy("pause", high=4, low=2, look=0.25)).judge(0.0, lag=4)
    assert verdict.seconds == 0.25
    assert verdict.reason == "paused at 4 unfinished tasks until 2 are left"
