"""What is the fifth assignment's own: see `test_assignments.py`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from labkit.grading.assignment_folder import Assignment, read_assignment
from tests.unit.grading.a5_wrong_answers import WRONG_ANSWERS
from tests.unit.grading.local_solution import judged, shown

FOLDER = Path(__file__).parents[3] / "assignments" / "source" / "a5_celery_bridge"


@pytest.fixture(scope="module")
def assignment() -> Assignment:
    return read_assignment(FOLDER)


def test_students_have_numbers_of_their_own(assignment: Assignment) -> None:
    (asked,) = (one for one in assignment.questions if one.id == "q2")
    measure = asked.function(asked.code(), "measure")
    answers = Counter(str(measure(None, f"student-{number}")) for number in range(30))
    assert max(answers.values()) <= 2


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
    told = shown(assignment, tmp_path, "q5", WRONG_ANSWERS)
    assert told("known by its content") == ("wrong", 0, "known by its content")
    assert told("no commit") == ("wrong", 0, "no commit")
    assert told("mark before the effect") == told("looked first") == ("right", 2, "")
