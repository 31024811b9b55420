"""Waiting ends with the condition or at the deadline."""

from itertools import pairwise
from threading import Event
from time import monotonic

import pytest

from labkit.errors import BrokerUnreachable, DeadlineExceeded, RedisUnreachable, UnknownTopic
from labkit.lab.condition import LONGEST_INTERVAL, SHARE
from labkit.taskqueue import timeouts
from labkit.taskqueue.timeouts import LOOK_INTERVAL, answer_of_broker, wait_until, wait_until_there
from tests.unit.clock import Clock

#: In seconds; nothing here takes so long.
TIMEOUT = 60


def test_it_returns_when_the_condition_holds():
    clock = Clock(0.0)
    wait_until(lambda: clock.now >= 3, timeout=60, what="x", interval=0.5, clock=clock, pause=clock.pause)
    assert clock.now == 3


def test_it_says_what_it_waited_for():
    clock = Clock(0.0)
    with pytest.raises(DeadlineExceeded, match="Waited 2 s in vain: admission was to open"):
        wait_until(lambda: False, timeout=2, what="admission was to open", clock=clock, pause=clock.pause)
    assert clock.now == pytest.approx(2)


def test_what_takes_long_is_looked_at_less_often():
    clock, looks = Clock(0.0), []
    with pytest.raises(DeadlineExceeded):
        wait_until(lambda: looks.append(clock.now), timeout=60, what="x", clock=clock, pause=clock.pause)
    between = [after - before for before, after in pairwise(looks)]
    assert between[:10] == pytest.approx([LOOK_INTERVAL] * 10)
    assert max(between) == pytest.approx(LONGEST_INTERVAL)
    assert all(pause <= max(LOOK_INTERVAL, SHARE * look) + 1e-9 for look, pause in zip(looks, between, strict=False))
    assert looks[-1] == pytest.approx(60)


def test_a_condition_that_holds_at_once_needs_no_time():
    wait_until(lambda: True, timeout=0, what="x")


@pytest.mark.parametrize("away", [BrokerUnreachable("Nobody answers."), UnknownTopic("There is no topic 'a'.")])
def test_what_is_on_the_broker_is_waited_for_while_that_is_away(away: Exception) -> None:
    answers = iter([away, away, False, True])

    def condition() -> bool:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    wait_until_there(condition, timeout=TIMEOUT, what="x")
    assert next(answers, None) is None


def test_a_broker_that_does_not_answer_is_waited_for_no_longer_than_the_deadline(monkeypatch):
    silent = Event()
    monkeypatch.setattr(timeouts, "SILENCE", 0.0)  # however little time is left
    with pytest.raises(BrokerUnreachable):
        answer_of_broker(silent.wait, monotonic() + 0.05)
    with pytest.raises(RedisUnreachable):
        answer_of_broker(silent.wait, monotonic() + 0.05, away=RedisUnreachable)
    monkeypatch.setattr(timeouts, "SILENCE", TIMEOUT)
    with pytest.raises(DeadlineExceeded):
        answer_of_broker(silent.wait, monotonic() + 0.05)
    silent.set()
    assert answer_of_broker(silent.wait, monotonic() + TIMEOUT)
    with pytest.raises(ZeroDivisionError):
        answer_of_broker(lambda: 1 / 0, monotonic() + TIMEOUT)


def test_it_says_at_the_end_that_the_broker_is_away():
    def condition() -> bool:
        raise BrokerUnreachable("Nobody answers.")

    with pytest.raises(DeadlineExceeded, match=r"^Waited 0 s in vain: a topic was to come\. Nobody answers\.$"):
        wait_until_there(condition, timeout=0, what="a topic was to come")
