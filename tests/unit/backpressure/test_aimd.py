"""The adaptive limit."""

import pytest

from labkit.backpressure import Action, QueueView, make_strategy

AIMD = make_strategy("aimd", target=1.0, beta=0.5, start=8)


def after(sight, state=None, now=10.0):
    return AIMD.judge(sight, state or AIMD.begin(), now)[1]


def good(answered=1, lag=8):
    return QueueView(lag=lag, answered=answered, latency=0.9)


def late(latency=1.5):
    return QueueView(lag=8, answered=1, latency=latency)


def test_beyond_the_limit_tasks_are_refused():
    assert AIMD.judge(QueueView(lag=7), AIMD.begin(), 0.0)[0].action is Action.ADMIT
    refused = AIMD.judge(QueueView(lag=8), AIMD.begin(), 0.0)[0]
    assert (refused.action, refused.reason) == (Action.REFUSE, "8 tasks are not finished, and the limit is 8")


def test_without_answers_the_limit_stays():
    assert after(QueueView(lag=8)) == AIMD.begin()


def test_a_limit_full_of_good_answers_raises_it_by_about_one():
    assert after(good(answered=8)).value == pytest.approx(9.0)
    state = AIMD.begin()
    for _ in range(8):
        state = after(good(), state)
    assert state.value == pytest.approx(9.0, abs=0.1)


def test_it_does_not_rise_while_less_than_half_of_it_is_used():
    assert after(good(lag=3)).value == 8.0
    assert after(good(lag=4)).value > 8.0


def test_a_late_answer_lowers_it_and_the_next_judgement_is_by_the_new_limit():
    verdict, state = AIMD.judge(late(), AIMD.begin(), 10.0)
    assert (state.value, state.lowered_at) == (4.0, 10.0)
    assert verdict.action is Action.REFUSE


def test_what_was_let_in_before_a_cut_does_not_cut_again():
    state = after(late(1.5), now=10.0)
    assert after(late(1.5), state, now=11.4) == state
    assert after(late(1.5), state, now=11.5).value == 2.0
    assert after(good(), state, now=10.1).value > state.value, "good news count at once"


def test_it_never_falls_below_one():
    state = AIMD.begin()
    for second in range(20):
        verdict, state = AIMD.judge(QueueView(lag=0, answered=1, latency=1.5), state, 10.0 + 2 * second)
    assert state.value == 1.0
    assert verdict.action is Action.ADMIT
