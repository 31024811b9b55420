"""A question that is asked again and again: who waits for it, and what is known meanwhile."""

import threading

import pytest

from labkit.errors import BrokerUnreachable, UnknownTopic
from labkit.taskqueue import repeated_question
from labkit.taskqueue.repeated_question import OVERDUE, RETRY_AGE, RepeatedQuestion
from labkit.taskqueue.timeouts import on_a_thread, wait_until
from tests.conditions import PATIENCE, in_time
from tests.unit.clock import Clock


class Kafka:
    """Answers with the next number, or with an error, as soon as it may."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self) -> int:
        self.asked += 1
        number, error = self.asked, self.error
        assert self.may_answer.wait(PATIENCE)
        if error is not None:
            raise error
        return number


@pytest.fixture
def kafka():
    kafka = Kafka()
    yield kafka
    kafka.may_answer.set()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def question(kafka, clock):
    return RepeatedQuestion(kafka, max_age=2.0, clock=clock)


def test_an_answer_is_good_for_as_long_as_it_may_be_old(question, kafka, clock):
    assert question.look() == (1, None)
    clock.now += 1.9
    assert question.look() == (1, None)
    clock.now += 0.1
    assert question.look() == (2, None)
    assert kafka.asked == 2


def test_what_is_known_already_is_not_asked_for(question, kafka, clock):
    question.know(7)
    clock.now += 1.9
    assert question.look() == (7, None)
    assert kafka.asked == 0


def test_nobody_waits_longer_than_a_moment(question, kafka, clock, monkeypatch):
    assert question.look() == (1, None)
    monkeypatch.setattr(repeated_question, "MOMENT", 0.01)
    kafka.may_answer.clear()
    clock.now += 2
    assert in_time(question.look) == (1, None)
    clock.now += 2
    assert in_time(question.look) == (1, None)
    assert kafka.asked <= 2
    kafka.may_answer.set()
    wait_until(lambda: question.look().answer != 1, timeout=PATIENCE, what="the answer was to come")


def test_an_answer_that_is_too_old_is_told_as_trouble(question, kafka, clock, monkeypatch):
    assert question.look() == (1, None)
    monkeypatch.setattr(repeated_question, "MOMENT", 0)
    kafka.may_answer.clear()
    clock.now += 2
    assert question.look() == (1, None)
    clock.now += OVERDUE
    answer, trouble = question.look()
    assert answer == 1
    assert isinstance(trouble, BrokerUnreachable)
    kafka.may_answer.set()
    wait_until(lambda: question.look() == (3, None), timeout=PATIENCE, what="an answer of now was to come")


def test_who_asks_seldom_waits_longer_so_that_the_answer_is_of_now(question, kafka, clock, monkeypatch):
    assert question.look() == (1, None)
    monkeypatch.setattr(repeated_question, "MOMENT", 0)
    clock.now += 1000
    assert question.look() == (2, None)


def test_before_the_first_answer_there_is_none_and_no_trouble_for_a_while(question, kafka, clock, monkeypatch):
    monkeypatch.setattr(repeated_question, "MOMENT", 0)
    kafka.may_answer.clear()
    assert question.look() == (None, None)
    clock.now += 2 + OVERDUE
    assert isinstance(question.look().trouble, BrokerUnreachable)


def test_where_an_answer_is_needed_everybody_waits_for_the_first(question, kafka, monkeypatch):
    monkeypatch.setattr(repeated_question, "MOMENT", 0)
    kafka.may_answer.clear()
    found = [on_a_thread(lambda: question.look(needed=True)) for _ in range(4)]
    wait_until(lambda: kafka.asked == 1, timeout=PATIENCE, what="one was to ask")
    assert not any(one.done() for one in found)
    kafka.may_answer.set()
    assert [one.result(PATIENCE) for one in found] == 4 * [(1, None)]


@pytest.mark.parametrize("error", [BrokerUnreachable(), UnknownTopic()])
def test_what_kafka_refuses_is_trouble_until_it_is_asked_again(question, kafka, clock, error):
    assert question.look() == (1, None)
    kafka.error = error
    clock.now += 2
    assert [question.look() for _ in range(3)] == 3 * [(1, error)]
    assert kafka.asked == 2
    kafka.error = None
    clock.now += max(2, RETRY_AGE)
    assert question.look() == (3, None)


def test_an_error_that_says_nothing_of_kafka_is_raised(question, kafka, clock):
    kafka.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        question.look()


def test_what_is_learnt_elsewhere_meanwhile_is_newer_than_the_answer(question, kafka, clock, monkeypatch):
    question.know(7)
    monkeypatch.setattr(repeated_question, "MOMENT", 0)
    kafka.may_answer.clear()
    clock.now += 2
    question.look()
    clock.now += 0.5
    question.know(8)
    kafka.may_answer.set()
    wait_until(lambda: question._pending is None or question._pending.done(), timeout=PATIENCE, what="it was to answer")
    assert question.look() == (8, None)


def test_it_lets_go_when_no_question_is_under_way(question, kafka, monkeypatch):
    gone = threading.Event()
    question.look()
    question.close(gone.set)
    assert gone.is_set()


def test_it_lets_go_at_the_end_of_a_question_that_is_not_answered(question, kafka, monkeypatch):
    monkeypatch.setattr(repeated_question, "MOMENT", 0)
    gone = threading.Event()
    kafka.may_answer.clear()
    question.look()
    in_time(lambda: question.close(gone.set))
    assert not gone.is_set()
    kafka.may_answer.set()
    assert gone.wait(PATIENCE)
