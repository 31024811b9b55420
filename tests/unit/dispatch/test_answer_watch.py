"""When it is said of a question that it is not answered, and when not."""

from __future__ import annotations

import pytest

from labkit.dispatch.answer_watch import ANSWER_TIMEOUT, LONGEST_STEP, AnswerWatch
from tests.unit.clock import Clock

SAID = "The policy 'mine' has not answered for 10 s"


class Looks:
    """Who looks at a watch while a question is open."""

    def __init__(self) -> None:
        self.now = Clock()
        self.watch = AnswerWatch(self.now)

    def look(self, times: int, interval: float) -> None:
        for _ in range(times):
            self.now.now += interval
            self.watch.look("The policy 'mine'")


@pytest.fixture
def looks():
    return Looks()


def test_it_is_said_once_of_each_question(looks, caplog):
    for _ in range(2):
        looks.watch.ask(looks.look, 200, 0.1)
    assert caplog.text.count(SAID) == 2


def test_an_answer_comes_back_and_an_error_comes_out(looks):
    assert looks.watch.ask(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        looks.watch.ask(divmod, 7, 0)


def test_a_process_that_was_frozen_is_no_such_case(looks, caplog):
    looks.watch.ask(looks.look, round(ANSWER_TIMEOUT / LONGEST_STEP), 3600.0)
    assert SAID not in caplog.text
    looks.watch.ask(looks.look, 1 + round(ANSWER_TIMEOUT / LONGEST_STEP), 3600.0)
    assert SAID in caplog.text


def test_many_questions_are_no_long_one(looks, caplog):
    for _ in range(100):
        looks.watch.ask(looks.look, 9, 1.0)
        looks.look(9, 1.0)
    assert not caplog.text
