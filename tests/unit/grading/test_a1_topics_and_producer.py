"""The first assignment: the model is right for every student, and each classic mistake is failed and named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from labkit.grading import notebook_check
from labkit.grading.assignment_folder import Assignment, read_assignment
from labkit.grading.questions import Question
from labkit.grading.questions.behaviour_question import BehaviourQuestion
from tests.unit.grading.a1_wrong_answers import RIGHT_ANSWERS, WRONG_ANSWERS
from tests.unit.grading.local_solution import LocalSolution, judged, solved

FOLDER = Path(__file__).parents[3] / "assignments" / "source" / "a1_topics_and_producer"
STUDENTS = ("ada", "grace", "s-1024", "Ω")
#: One of them in every run, the others in long ones.
EACH = [*(pytest.param(student, marks=pytest.mark.long) for student in STUDENTS[:-1]), STUDENTS[-1]]


@pytest.fixture(scope="module")
def assignment() -> Assignment:
    return read_assignment(FOLDER)


def named(question: Question) -> set[str]:
    return {mistake.name for mistake in getattr(question, "mistakes", ())}


def test_the_notebook_is_one_of_nbformat_4_without_outputs(assignment: Assignment) -> None:
    notebook = nbformat.read(FOLDER / f"{FOLDER.name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert [question.id for question in assignment.questions] == ["q1", "q2", "q3", "q4", "q5"]
    assert [cell.nbgrader.grade_id for cell in assignment.by_hand() if cell.nbgrader] == ["q6"]


@pytest.mark.parametrize("student", EACH)
@pytest.mark.parametrize("question", ["q1", "q2", "q3", "q4"])
def test_the_model_has_full_marks(assignment: Assignment, question: str, student: str) -> None:
    verdict = judged(assignment, question, student)
    assert (verdict.state, verdict.feedback) == ("right", ())


@pytest.mark.parametrize("student", EACH)
@pytest.mark.parametrize(("question", "answer"), RIGHT_ANSWERS)
def test_other_ways_to_be_right(assignment: Assignment, question: str, answer: str, student: str) -> None:
    verdict = judged(assignment, question, student, answer)
    assert (verdict.state, verdict.feedback) == ("right", ())


@pytest.mark.parametrize("student", EACH[-2:])
@pytest.mark.parametrize(("question", "mistake", "points", "answer"), WRONG_ANSWERS)
def test_a_classic_mistake_is_failed_and_named(
    assignment: Assignment, question: str, mistake: str, points: float, answer: str, student: str
) -> None:
    verdict = judged(assignment, question, student, answer)
    assert verdict.feedback[0].mistake == mistake, verdict.feedback
    assert verdict.points <= points < verdict.possible


def test_every_mistake_that_is_declared_was_planted_and_there_are_five_of_each_question(assignment: Assignment) -> None:
    planted = {(question, mistake) for question, mistake, _, _ in WRONG_ANSWERS}
    assert {(question.id, name) for question in assignment.questions for name in named(question)} <= planted
    counts = Counter(question for question, _ in planted)
    by_value = [question for question in assignment.questions if not isinstance(question, BehaviourQuestion)]
    assert all(counts[question.id] >= 5 for question in by_value)


def test_students_have_keys_of_their_own(assignment: Assignment) -> None:
    drawn = {student: solved(assignment, student).read("my_keys", timeout=1) for student in STUDENTS}
    assert len({str(keys) for keys in drawn.values()}) == len(STUDENTS)


def test_the_visible_checks_are_called_in_the_notebook(assignment: Assignment, monkeypatch: pytest.MonkeyPatch) -> None:
    """nbgrader's Validate runs them, and what is said of a claim's form holds for the model."""
    asked: list[str] = []
    monkeypatch.setattr(notebook_check, "check", asked.append)
    cells = {cell.nbgrader.grade_id: cell.source for cell in assignment.release if cell.nbgrader}
    for question in assignment.questions:
        exec_after(solved(assignment, "ada"), cells[f"{question.id}_check"])
    assert asked == [question.id for question in assignment.questions]


def test_nbgrader_releases_no_answers() -> None:
    config = SimpleNamespace(CourseDirectory=SimpleNamespace(), GenerateAssignment=SimpleNamespace())
    exec((FOLDER.parents[1] / "nbgrader_config.py").read_text(), {"get_config": lambda: config})
    kept = [path for path in FOLDER.iterdir() if path.name not in config.CourseDirectory.ignore]
    assert kept == [FOLDER / f"{FOLDER.name}.ipynb"]


def exec_after(solution: LocalSolution, *cells: str) -> None:
    for cell in cells:
        exec(cell, solution.names)
