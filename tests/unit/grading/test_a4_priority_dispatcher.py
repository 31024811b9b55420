"""What is the fourth assignment's own: see `test_assignments.py`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from labkit.grading.assignment_folder import Assignment, read_assignment
from tests.unit.grading.a4_wrong_answers import WRONG_ANSWERS
from tests.unit.grading.local_solution import shown

FOLDER = Path(__file__).parents[3] / "assignments" / "source" / "a4_priority_dispatcher"


@pytest.fixture(scope="module")
def assignment() -> Assignment:
    return read_assignment(FOLDER)


def test_students_have_numbers_of_their_own(assignment: Assignment) -> None:
    students = [f"student-{number}" for number in range(12)]
    for question, most in (("q4", 1), ("q6", 3)):
        (asked,) = (one for one in assignment.questions if one.id == question)
        measure = asked.function(asked.code(), "measure")
        answers = Counter(str(measure(None, student)) for student in students)
        assert max(answers.values()) <= most


def test_students_are_told_of_visible_mistakes_only(assignment: Assignment, tmp_path: Path) -> None:
    told = shown(assignment, tmp_path, "q5", WRONG_ANSWERS)
    assert told("strict priority") == ("wrong", 0, "strict priority")
    assert told("no decision") == ("wrong", 0, "no decision")
    assert told("another answer each time") == ("wrong", 0, "another answer each time")
    assert told("equal turns") == told("room left empty") == ("right", 3, "")
