"""A question of behaviour names mistakes that there are; what is found fails the checks that name it, or all."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from labkit.errors import (
    BadAssignment,
    BrokerFailed,
    BrokerUnreachable,
    DeadlineExceeded,
    GradingFailed,
    HistoryUnreadable,
    KernelEnded,
    NotAcknowledged,
    UnknownTopic,
)
from labkit.grading.behaviour.mistakes import ABUSE, HINTS, TOPIC_GONE
from labkit.grading.question_verdict import Feedback
from labkit.grading.questions import behaviour_question, read_question
from labkit.grading.questions.behaviour_question import BehaviourQuestion, Played
from labkit.grading.sandboxed_solution import SandboxedSolution
from tests.unit.grading.local_solution import LocalSolution

TEXT = """
kind = "behaviour"
scenario = "worker"
calls = "work"
title = "Work"
points = 3
minutes = 5

[[checks]]
name = "commits"
points = 2
mistake = "It does not commit as it should."
fails_by = ["commit before the work", "lost task"]

[[checks]]
name = "stops"
points = 1
mistake = "It does not stop."
fails_by = ["no clean stop"]
"""


def declared(folder: Path, text: str = TEXT) -> BehaviourQuestion:
    file = folder / "q1.toml"
    file.write_text(text)
    question = read_question(file)
    assert isinstance(question, BehaviourQuestion)
    return question


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"worker"', '"play"', "no scenario 'play'; there are bridge, group, jobs, .*named as module:name.$"),
        ('"worker"', '"wroker"', "Did you mean 'worker'"),
        ('"worker"', '"no_such_module:play"', "'no_such_module:play' could not be imported: No module named"),
        ('"worker"', '"math:pi"', "math:pi is no scenario: that is a function"),
        ('"lost task"', '"lots task"', "no mistake has the name 'lots task'"),
        ('["no clean stop"]', "[]", "length"),
        ("points = 3", "points = 4", "worth 4 points, and its checks 3"),
        ('title = "Work"', 'title = "Work"\npartitions = 0', "partitions"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str, why: str) -> None:
    with pytest.raises(BadAssignment, match=why):
        declared(tmp_path, TEXT.replace(old, new))


@pytest.mark.parametrize(
    ("mistakes", "points", "state"),
    [
        ([], 3, "right"),
        (["no clean stop"], 2, "partial"),
        (["lost task", "commit before the work"], 1, "partial"),
        (["lost task", "no clean stop"], 0, "wrong"),
        (["ended by an error"], 0, "wrong"),
    ],
)
def test_a_mistake_fails_the_checks_that_name_it_or_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistakes: list[str], points: float, state: str
) -> None:
    found = [Feedback(mistake, "A sentence.") for mistake in mistakes]
    monkeypatch.setattr(BehaviourQuestion, "run", lambda *_: Played(found))
    verdict = declared(tmp_path).judge(LocalSolution())
    assert (verdict.points, verdict.possible, verdict.state) == (points, 3, state)
    failed = {"lost task": "commits", "no clean stop": "stops"}
    named = [failed[mistake] for mistake in mistakes if mistake in failed]
    assert [one.mistake for one in verdict.feedback] == [*mistakes, *named]


def test_a_check_that_fails_says_so_in_its_own_words_after_what_says_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BehaviourQuestion, "run", lambda *_: Played([Feedback("lost task", "Task 1 is lost.")]))
    text = TEXT.replace("as it should.", 'as it should."\nhint = "Commit later.', 1)
    verdict = declared(tmp_path, text).judge(LocalSolution())
    assert verdict.feedback[1] == Feedback("commits", "It does not commit as it should.", "Commit later.")


class Brokers(LocalSolution):
    """A solution of which so many brokers fail with it, and each without it, too, if `all_fail`."""

    def __init__(self, fault: Exception, *, failing: int, all_fail: bool = False) -> None:
        super().__init__()
        self.fault, self.failing, self.all_fail = fault, failing, all_fail
        self.taken = 1
        self.reason: str | None = None

    def broker(self) -> Brokers:
        return self

    def used_up(self) -> str | None:
        return self.reason

    def renew_broker(self) -> None:
        self.taken += 1

    def play(self) -> list[Feedback]:
        if self.taken <= self.failing:
            raise self.fault
        return []

    def answer(self) -> None:
        if self.all_fail:
            raise self.fault


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BehaviourQuestion:
    def begun(solution: Brokers, *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(broker=solution, play=solution.play, found=[])

    monkeypatch.setattr(behaviour_question, "BehaviourRun", begun)
    monkeypatch.setattr(BehaviourQuestion, "_play", lambda _, run: Played(run.play()))
    monkeypatch.setattr(behaviour_question, "_must_answer", Brokers.answer)
    return declared(tmp_path)


FAULTS = [BrokerFailed(), BrokerUnreachable(), NotAcknowledged(), HistoryUnreadable(), DeadlineExceeded()]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_broker_that_fails_is_replaced_and_the_second_was_ended_by_the_submission(
    asked: BehaviourQuestion, fault: Exception
) -> None:
    once = Brokers(fault, failing=1)
    assert asked.judge(once).state == "right"
    assert once.taken == 2
    always = Brokers(fault, failing=9)
    verdict = asked.judge(always)
    assert (verdict.points, verdict.feedback[0].mistake) == (0, ABUSE)
    assert "2 brokers in turn" in verdict.feedback[0].sentence
    assert always.taken == 3


def test_where_brokers_fail_without_the_submission_too_that_is_no_verdict(asked: BehaviourQuestion) -> None:
    with pytest.raises(BrokerUnreachable):
        asked.judge(Brokers(BrokerUnreachable(), failing=9, all_fail=True))


def test_what_is_known_of_it_is_said_at_once(asked: BehaviourQuestion) -> None:
    filled = Brokers(BrokerUnreachable(), failing=9)
    filled.reason = "It wrote too much."
    assert asked.judge(filled).feedback[0] == Feedback(ABUSE, "It wrote too much.", HINTS[ABUSE])
    gone = Brokers(UnknownTopic(), failing=9)
    assert asked.judge(gone).feedback[0].mistake == TOPIC_GONE
    assert filled.taken == gone.taken == 1


def test_what_else_fails_is_no_verdict(asked: BehaviourQuestion) -> None:
    with pytest.raises(GradingFailed):
        asked.judge(Brokers(GradingFailed(), failing=9))


def test_a_submission_without_time_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def over(_: LocalSolution) -> None:
        raise KernelEnded("The time is over.")

    monkeypatch.setattr(LocalSolution, "ready", over)
    verdict = declared(tmp_path).judge(LocalSolution())
    assert (verdict.state, verdict.points) == ("not run", 0)
    assert verdict.feedback[0].sentence == "The time is over."


def test_a_grader_without_brokers_says_so() -> None:
    with pytest.raises(BrokerFailed, match="the grader was given none"):
        SandboxedSolution(None, [], student="ada", seed="a").broker()
