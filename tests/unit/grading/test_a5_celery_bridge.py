"""The fifth assignment: the model is right for every student, and each classic mistake is failed and named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import nbformat
import pytest
from msgspec.structs import replace

from labkit.grading.assignment_folder import Assignment, read_assignment
from labkit.grading.questions.behaviour_question import BehaviourQuestion
from labkit.grading.visible_checks import read_checks, write_checks
from tests.unit.grading.a5_wrong_answers import RIGHT_ANSWERS, WRONG_ANSWERS
from tests.unit.grading.local_solution import LocalSolution, judged, solved

FOLDER = Path(__file__).parents[3] / "assignments" / "source" / "a5_celery_bridge"
STUDENTS = ("ada", "s-1024", "Ω")
#: Without the one about behaviour, which takes a broker.
QUESTIONS = ["q1", "q2", "q3", "q5", "q6"]


@pytest.fixture(scope="module")
def assignment() -> Assignment:
    found = read_assignment(FOLDER)
    assert [question.id for question in found.questions if isinstance(question, BehaviourQuestion)] == ["q4"]
    return found


def test_the_notebook_is_one_of_nbformat_4_without_outputs(assignment: Assignment) -> None:
    notebook = nbformat.read(FOLDER / f"{FOLDER.name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert [question.id for question in assignment.questions] == sorted([*QUESTIONS, "q4"])
    assert [cell.nbgrader.grade_id for cell in assignment.by_hand() if cell.nbgrader] == ["q7"]


def test_what_the_notebook_says_of_points_and_minutes_holds(assignment: Assignment) -> None:
    told = "".join(str(cell.source) for cell in assignment.source if cell.kind == "markdown")
    for question in assignment.questions:
        assert f"({question.points:g} points, {question.minutes:g} minutes)" in told
    points = sum(question.points for question in assignment.questions) + 3
    minutes = sum(question.minutes for question in assignment.questions) + 10
    assert f"{points:g} points, about {minutes:g} minutes" in told


@pytest.mark.parametrize("student", STUDENTS)
@pytest.mark.parametrize("question", QUESTIONS)
def test_the_model_has_full_marks(assignment: Assignment, question: str, student: str) -> None:
    verdict = judged(assignment, question, student)
    assert (verdict.state, verdict.feedback) == ("right", ())


@pytest.mark.parametrize(("question", "answer"), RIGHT_ANSWERS)
def test_other_ways_to_be_right(assignment: Assignment, question: str, answer: str) -> None:
    verdict = judged(assignment, question, "grace", answer)
    assert (verdict.state, verdict.feedback) == ("right", ())


@pytest.mark.parametrize(("question", "mistake", "points", "answer"), WRONG_ANSWERS)
def test_a_classic_mistake_is_failed_and_named(
    assignment: Assignment, question: str, mistake: str, points: float, answer: str
) -> None:
    verdict = judged(assignment, question, "s-1024", answer)
    assert verdict.feedback[0].mistake == mistake, verdict.feedback
    assert verdict.points <= points < verdict.possible


def test_every_mistake_that_is_declared_was_planted_and_there_are_five_of_each_question(assignment: Assignment) -> None:
    planted = {(question, mistake) for question, mistake, _, _ in WRONG_ANSWERS}
    declared = {
        (question.id, mistake.name)
        for question in assignment.questions
        for mistake in getattr(question, "mistakes", ())
    }
    assert declared <= planted
    counts = Counter(question for question, _ in planted)
    assert all(counts[question] >= 5 for question in QUESTIONS)


def test_students_have_numbers_of_their_own(assignment: Assignment) -> None:
    (asked,) = (one for one in assignment.questions if one.id == "q2")
    measure = asked.function(asked.code(), "measure")
    answers = Counter(str(measure(None, f"student-{number}")) for number in range(30))
    assert max(answers.values()) <= 2


@pytest.mark.parametrize("value", ["None", "0", "1", "[]", "{}", "arguments[0]", "arguments[-1]"])
def test_an_answer_without_a_thought_brings_nothing(assignment: Assignment, value: str) -> None:
    for question in assignment.questions:
        name = question.defines
        answer = (
            f"def {name}(*arguments): return {value}"
            if question.name != "claim"
            else f"{name} = {value.replace('arguments', '[0, 1]')}"
        )
        if question.id != "q4":
            quick = replace(question, mistakes=())  # what it is called does not matter
            assert quick.judge(LocalSolution(answer, student="ada")).points == 0, question.id


@pytest.mark.parametrize("question", ["q1", "q3", "q5", "q6"])
def test_a_function_that_does_nothing_brings_nothing(assignment: Assignment, question: str) -> None:
    (line,) = (
        line
        for cell in assignment.source
        for line in str(cell.source).splitlines()
        if cell.nbgrader and cell.nbgrader.grade_id == question and line.startswith("@")
    )
    (asked,) = (one for one in assignment.questions if one.id == question)
    verdict = judged(assignment, question, "ada", f"{line}\ndef {asked.defines}(*arguments): pass")
    assert verdict.points == 0


def test_students_are_told_of_visible_mistakes_only(assignment: Assignment, tmp_path: Path) -> None:
    write_checks(assignment, tmp_path)
    shown = {question.id: question for question in read_checks(tmp_path).questions}["q5"]
    answers = {mistake: answer for question, mistake, _, answer in WRONG_ANSWERS if question == "q5"}

    def told(mistake: str) -> tuple[str, float, str]:
        verdict = shown.judge(solved(assignment, "ada", q5=answers[mistake]))
        return verdict.state, verdict.points, verdict.feedback[0].mistake if verdict.feedback else ""

    assert told("known by its content") == ("wrong", 0, "known by its content")
    assert told("no commit") == ("wrong", 0, "no commit")
    assert told("mark before the effect") == told("looked first") == ("right", 2, "")
