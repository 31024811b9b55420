"""The third assignment: its notebook, and the question about what a job is with each of its mistakes."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from labkit.grading.assignment_folder import Assignment, read_assignment
from labkit.grading.questions.value_question import ValueQuestion
from tests.unit.grading.local_solution import judged

FOLDER = Path(__file__).parents[3] / "assignments" / "source" / "a3_job_status"
STUDENTS = ("ada", "grace", "s-1024", "Ω")
#: One of them in every run, the others in long ones.
EACH = [*(pytest.param(student, marks=pytest.mark.long) for student in STUDENTS[:-1]), STUDENTS[-1]]
#: What the Python file of the question makes, a student may have written.
MISTAKES = ("by_last", "by_first", "by_version", "by_text", "by_alphabet", "only_done")


@pytest.fixture(scope="module")
def assignment() -> Assignment:
    return read_assignment(FOLDER)


def test_the_notebook_is_one_of_nbformat_4_without_outputs(assignment: Assignment) -> None:
    notebook = nbformat.read(FOLDER / f"{FOLDER.name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert [question.id for question in assignment.questions] == ["q1", "q2", "q3", "q4"]
    assert [cell.nbgrader.grade_id for cell in assignment.by_hand() if cell.nbgrader] == ["q5"]


@pytest.mark.parametrize("student", EACH)
def test_the_model_knows_what_a_job_is(assignment: Assignment, student: str) -> None:
    verdict = judged(assignment, "q1", student)
    assert (verdict.state, verdict.feedback) == ("right", ())


@pytest.mark.parametrize("student", EACH)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_fails_and_is_named(assignment: Assignment, student: str, mistake: str) -> None:
    question = assignment.questions[0]
    assert isinstance(question, ValueQuestion)
    code = question.file.with_suffix(".py").read_text()
    verdict = judged(assignment, "q1", student, f"{code}\nstatus_of_jobs = {mistake}\n")
    assert verdict.points < verdict.possible / 2
    (declared,) = (one for one in question.mistakes if one.answer == mistake)
    assert verdict.feedback[0].mistake == declared.name


def test_every_mistake_that_is_declared_is_tried(assignment: Assignment) -> None:
    question = assignment.questions[0]
    assert isinstance(question, ValueQuestion)
    assert {one.answer for one in question.mistakes} == set(MISTAKES)
