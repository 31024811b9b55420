"""Answers without a thought, the same for everybody, bring no points to any student of a class of thirty."""

from __future__ import annotations

from itertools import pairwise
from math import gcd
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from msgspec.structs import replace

from labkit.grading.assignment_folder import Assignment, read_assignment
from labkit.grading.behaviour import mistakes
from labkit.grading.questions.behaviour_question import BehaviourQuestion
from labkit.grading.questions.claim_question import ClaimQuestion
from labkit.grading.questions.question import Question
from labkit.grading.questions.value_question import ValueQuestion
from tests.unit.grading.local_solution import LocalSolution

SOURCE = Path(__file__).parents[3] / "assignments" / "source"
STUDENTS = [f"student-{number}" for number in range(30)]
#: What a function may return, or a claim be, of which nobody has thought.
VALUES = (
    "None",
    "0",
    "1",
    "-1",
    "0.5",
    "True",
    "''",
    "'a'",
    "[]",
    "['a']",
    "{}",
    "[[]]",
    "{'before': {}, 'after': {}}",
)
#: Those which are like another one of them: for long runs.
ALIKE = ("0", "-1", "0.5", "''", "['a']", "{}", "[[]]")
#: What a function of ours may be, beside one that returns such a value.
BODIES = ("return arguments[0]", "return arguments[-1]", "raise ValueError", "return str(arguments)")
#: With these a run is cut short, so that nothing which would have come then was tried.
CUTS = (mistakes.NOT_BEGUN, mistakes.LEFT, mistakes.NOT_IN_GROUP, mistakes.NO_SHARE, mistakes.BLOCKED_POLL)


def written(form: str) -> list[ParameterSet]:
    """The values, each written so."""
    return [pytest.param(form.format(value), marks=pytest.mark.long if value in ALIKE else ()) for value in VALUES]


@pytest.fixture(scope="module")
def a1() -> Assignment:
    return read_assignment(SOURCE / "a1_topics_and_producer")


def questions(assignment: Assignment, kind: type[Question]) -> list[Question]:
    return [question for question in assignment.questions if isinstance(question, kind)]


def points(question: Question, answer: str) -> set[float]:
    """What this answer brings to the students."""
    quick = replace(question, mistakes=())  # what it is called does not matter
    return {quick.judge(LocalSolution(answer, student=student)).points for student in STUDENTS}


@pytest.mark.parametrize("body", [*written("return {}"), *BODIES])
def test_a_function_that_does_not_look_at_what_it_is_asked(a1: Assignment, body: str) -> None:
    for question in questions(a1, ValueQuestion):
        assert isinstance(question, ValueQuestion)
        answer = f"def {question.function_name}(*arguments): {body}"
        assert points(question, answer) == {0}, question.id


@pytest.mark.parametrize(
    ("body", "said"),
    [("return None", "returned None"), ("return key", "returned its 1. argument")],
)
def test_what_is_always_the_same_is_told(a1: Assignment, body: str, said: str) -> None:
    (question,) = (one for one in a1.questions if one.id == "q1")
    feedback = question.judge(LocalSolution(f"def partition_of(key, partitions): {body}")).feedback
    assert (feedback[0].mistake, feedback[0].sentence) == (
        "always the same",
        f"partition_of {said}, whatever it was asked.",
    )


@pytest.mark.parametrize("claim", written("{}"))
def test_a_claim_that_is_the_same_for_everybody(a1: Assignment, claim: str) -> None:
    for question in questions(a1, ClaimQuestion):
        assert isinstance(question, ClaimQuestion)
        assert points(replace(question, runs=min(question.runs, 5)), f"{question.claim} = {claim}") == {0}, question.id


def test_no_number_is_right_for_students_whose_shares_are_not_the_same(a1: Assignment) -> None:
    """And a third of the class at most has the same share."""
    (question,) = (one for one in a1.questions if one.id == "q4")
    assert isinstance(question, ClaimQuestion)
    module = question.code()
    sharing: dict[int, list[str]] = {}
    for student in STUDENTS:
        before, after = module.sizes(student)
        sharing.setdefault(after // gcd(before, after), []).append(student)
    assert all(len(students) <= len(STUDENTS) / 3 for students in sharing.values())
    ranges = []
    for one, *_ in sharing.values():
        mean, deviation = question._measured(module, "measure", LocalSolution(student=one)).numbers[""]
        allowed = question.checks[0].deviations * deviation
        ranges.append((mean - allowed, mean + allowed))
    assert len(ranges) == 5
    assert all(lower[1] < upper[0] for lower, upper in pairwise(sorted(ranges)))


@pytest.mark.parametrize("mistake", CUTS)
@pytest.mark.parametrize("assignment", ["a2_task_queue", "a3_job_status", "a5_celery_bridge"])
def test_a_run_that_was_cut_short_praises_nothing(assignment: str, mistake: str) -> None:
    for question in questions(read_assignment(SOURCE / assignment), BehaviourQuestion):
        assert isinstance(question, BehaviourQuestion)
        if question.scenario == "purposes" and mistake == mistakes.NOT_IN_GROUP:
            continue  # who makes it may get all for the other purpose, which is tried
        named = [mistake in check.fails_by for check in question.checks]
        assert all(named) or not any(named), question.id  # one that no check names fails all


def test_what_was_not_sent_is_not_spread_evenly() -> None:
    question = read_assignment(SOURCE / "a2_task_queue").questions[0]
    assert isinstance(question, BehaviourQuestion)
    for check in question.checks:
        assert {mistakes.NOT_SENT, mistakes.WRONG_PLACE} & set(check.fails_by), check.name
