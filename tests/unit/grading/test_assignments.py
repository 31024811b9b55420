"""The assignments whose questions need no broker, or all but one: the model is right, each classic mistake is named."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from _pytest.mark import ParameterSet
from msgspec.structs import replace

from labkit.grading.assignment_folder import Assignment, read_assignment
from tests.unit.grading import a4_wrong_answers, a5_wrong_answers, a6_wrong_answers
from tests.unit.grading.local_solution import LocalSolution, judged

SOURCE = Path(__file__).parents[3] / "assignments" / "source"
STUDENTS = ("ada", "s-1024", "Ω")


class Known(NamedTuple):
    """What is known of an assignment: its questions without the one that needs a broker, and answers to them."""

    questions: tuple[str, ...]
    right: list[tuple[str, str]]
    wrong: list[tuple[str, str, float, str]]
    needs_broker: tuple[str, ...] = ()
    #: whose models are tried in long runs only
    seldom: tuple[str, ...] = ()


SIX = ("q1", "q2", "q3", "q4", "q5", "q6")
ASSIGNMENTS = {
    "a4_priority_dispatcher": Known(
        SIX, a4_wrong_answers.RIGHT_ANSWERS, a4_wrong_answers.WRONG_ANSWERS, seldom=STUDENTS[:-1]
    ),
    "a5_celery_bridge": Known(
        ("q1", "q2", "q3", "q5", "q6"),
        a5_wrong_answers.RIGHT_ANSWERS,
        a5_wrong_answers.WRONG_ANSWERS,
        needs_broker=("q4",),
    ),
    "a6_message_api": Known(SIX, a6_wrong_answers.RIGHT_ANSWERS, a6_wrong_answers.WRONG_ANSWERS),
}
EACH = pytest.mark.parametrize("name", ASSIGNMENTS)


@cache
def assignment_of(name: str) -> Assignment:
    return read_assignment(SOURCE / name)


def answers(kind: str) -> list[ParameterSet]:
    """Those that are `right`, or `wrong`, to all assignments."""
    return [
        pytest.param(name, *answer, id=f"{name}-{answer[0]}-{number}")
        for name, known in ASSIGNMENTS.items()
        for number, answer in enumerate(getattr(known, kind))
    ]


def models() -> list[ParameterSet]:
    """Each question of each assignment, as each student has it."""
    return [
        pytest.param(name, question, student, marks=pytest.mark.long if student in known.seldom else ())
        for name, known in ASSIGNMENTS.items()
        for question in known.questions
        for student in STUDENTS
    ]


@EACH
def test_the_notebook_is_one_of_nbformat_4_without_outputs(name: str) -> None:
    assignment, known = assignment_of(name), ASSIGNMENTS[name]
    notebook = nbformat.read(SOURCE / name / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert [question.id for question in assignment.questions] == sorted([*known.questions, *known.needs_broker])
    assert [question.id for question in assignment.questions if question.name == "behaviour"] == [*known.needs_broker]
    assert [cell.nbgrader.grade_id for cell in assignment.by_hand() if cell.nbgrader] == ["q7"]


@EACH
def test_what_the_notebook_says_of_points_and_minutes_holds(name: str) -> None:
    assignment = assignment_of(name)
    told = "".join(str(cell.source) for cell in assignment.source if cell.kind == "markdown")
    for question in assignment.questions:
        assert f"({question.points:g} points, {question.minutes:g} minutes)" in told
    points = sum(question.points for question in assignment.questions) + 3
    minutes = sum(question.minutes for question in assignment.questions) + 10
    assert f"{points:g} points, about {minutes:g} minutes" in told


@pytest.mark.parametrize(("name", "question", "student"), models())
def test_the_model_has_full_marks(name: str, question: str, student: str) -> None:
    verdict = judged(assignment_of(name), question, student)
    assert (verdict.state, verdict.feedback) == ("right", ())


@pytest.mark.parametrize(("name", "question", "answer"), answers("right"))
def test_other_ways_to_be_right(name: str, question: str, answer: str) -> None:
    verdict = judged(assignment_of(name), question, "grace", answer)
    assert (verdict.state, verdict.feedback) == ("right", ())


@pytest.mark.parametrize(("name", "question", "mistake", "points", "answer"), answers("wrong"))
def test_a_classic_mistake_is_failed_and_named(
    name: str, question: str, mistake: str, points: float, answer: str
) -> None:
    verdict = judged(assignment_of(name), question, "s-1024", answer)
    assert verdict.feedback[0].mistake == mistake, verdict.feedback
    assert verdict.points <= points < verdict.possible


@EACH
def test_every_mistake_that_is_declared_was_planted_and_there_are_five_of_each_question(name: str) -> None:
    known = ASSIGNMENTS[name]
    planted = {(question, mistake) for question, mistake, _, _ in known.wrong}
    declared = {
        (question.id, mistake.name)
        for question in assignment_of(name).questions
        for mistake in getattr(question, "mistakes", ())
    }
    assert declared <= planted
    counts = Counter(question for question, _ in planted)
    assert all(counts[question] >= 5 for question in known.questions)


@EACH
@pytest.mark.parametrize("value", ["None", "0", "1", "0.5", "[]", "{}", "arguments[0]", "arguments[-1]"])
def test_an_answer_without_a_thought_brings_nothing(name: str, value: str) -> None:
    for question in assignment_of(name).questions:
        if question.id in ASSIGNMENTS[name].needs_broker:
            continue
        answer = (
            f"def {question.defines}(*arguments): return {value}"
            if question.name != "claim"
            else f"{question.defines} = {value.replace('arguments', '[0, 1]')}"
        )
        for student in STUDENTS:
            quick = replace(question, mistakes=())  # what it is called does not matter
            assert quick.judge(LocalSolution(answer, student=student)).points == 0, question.id
