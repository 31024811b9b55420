"""What holds for every strategy, its decisions, and what is remembered between two of them."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.backpressure import STRATEGIES, Action, AdmissionDecision, AdmissionState, QueueView, make_strategy
from labkit.errors import LabkitError, NotAccepted

SIGHTS = st.builds(
    QueueView,
    lag=st.integers(0, 400),
    rank=st.integers(0, 3),
    lowest=st.none() | st.integers(0, 3),
    answered=st.integers(1, 50),
    latency=st.none() | st.floats(0.0, 5.0),
)


@pytest.mark.parametrize("name", STRATEGIES)
@given(looks=st.lists(st.tuples(st.floats(0.0, 2.0), SIGHTS), max_size=30))
def test_a_judgement_is_pure_and_says_what_can_be_done(name, looks):
    strategy = make_strategy(name)
    state, now = strategy.begin(), 0.0
    for gap, sight in looks:
        now += gap
        verdict, after = strategy.judge(sight, state, now)
        assert strategy.judge(sight, state, now) == (verdict, after)
        assert (verdict.seconds > 0) == (verdict.action is Action.WAIT)
        assert bool(verdict.reason) == (verdict.action is not Action.ADMIT)
        if verdict.action is Action.SHED_LOWEST:
            assert sight.lowest is not None, "there is one to shed"
            assert sight.lowest > sight.rank
        state = after


@pytest.mark.parametrize("name", STRATEGIES)
@given(start=st.floats(0.0, 1e9), lags=st.lists(st.integers(0, 400), max_size=20))
def test_the_door_opens_again_when_nothing_is_left(name, start, lags):
    admission = AdmissionState(make_strategy(name))
    for lag in lags:
        admission.judge(start, lag=lag)
    now = start
    for _ in range(3):
        verdict = admission.judge(now, lag=0)
        if verdict.action is Action.ADMIT:
            return
        assert verdict.action is Action.WAIT, "an empty queue has room"
        now += verdict.seconds
    pytest.fail(f"{name} does not let a task into an empty queue")


def test_a_refusal_is_raised_for_the_sender():
    refused, _ = make_strategy("refuse", limit=1_000).judge(QueueView(lag=1_200), None, 0.0)
    with pytest.raises(NotAccepted, match=r"not accepted: 1,200 tasks are not finished, and the limit is 1,000\. Send"):
        refused.or_raise()


@pytest.mark.parametrize("action", sorted(set(Action) - {Action.REFUSE}))
def test_other_verdicts_are_not_raised(action):
    verdict = AdmissionDecision(action=action)
    assert verdict.or_raise() is verdict


@dataclass(frozen=True)
class Diary:
    """Lets everything in, and remembers what it saw and when."""

    name = "diary"

    def begin(self):
        return ()

    def judge(self, sight, state, now):
        return AdmissionDecision(action=Action.ADMIT), (*state, (now, sight))


def test_the_strategy_sees_what_the_door_sees_and_keeps_its_state():
    admission = AdmissionState(Diary())
    assert admission.state == ()
    assert admission.judge(1.0, lag=3).action is Action.ADMIT
    admission.judge(2.0, lag=4, rank=1, lowest=2)
    assert admission.state == ((1.0, QueueView(lag=3)), (2.0, QueueView(lag=4, rank=1, lowest=2)))


def test_answers_are_averaged_since_the_last_judgement():
    admission = AdmissionState(Diary())
    admission.answered(1.0)
    admission.answered(4.0)
    admission.judge(5.0, lag=0)
    admission.judge(6.0, lag=0)
    admission.answered(3.0)
    admission.judge(7.0, lag=0)
    assert [(sight.answered, sight.latency) for _, sight in admission.state] == [(2, 2.5), (0, None), (1, 3.0)]


@dataclass(frozen=True)
class Muddle:
    """Answers what it is told to."""

    answer: object
    name = "muddle"

    def begin(self):
        return "before"

    def judge(self, sight, state, now):
        return self.answer


def decided(action, **fields):
    return AdmissionDecision(action=action, **fields), "after"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "'muddle' returned None; give an AdmissionDecision and the state"),
        (AdmissionDecision(action=Action.ADMIT), "'muddle' returned AdmissionDecision"),
        (("admit", None), "'muddle' returned .*give an AdmissionDecision"),
        (decided("admit"), "'muddle' decided 'admit'; give an Action"),
        (decided(Action.WAIT), "'muddle' says to wait 0.0 s; give a number above 0"),
        (decided(Action.WAIT, seconds=float("nan")), "to wait nan s"),
        (decided(Action.WAIT, seconds=float("inf")), "to wait inf s"),
        (decided(Action.WAIT, seconds="1"), "to wait '1' s"),
        (decided(Action.REFUSE, reason=None), "'muddle' gave None as its reason"),
        (decided(Action.SHED_LOWEST), "'muddle' decided 'shed_lowest' where no task waits"),
    ],
)
def test_what_cannot_be_carried_out_is_told_and_the_state_stays(answer, message):
    admission = AdmissionState(Muddle(answer))
    with pytest.raises(LabkitError, match=message):
        admission.judge(1.0, lag=3)
    assert admission.state == "before"
