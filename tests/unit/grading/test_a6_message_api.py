"""What is the sixth assignment's own: see `test_assignments.py`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from labkit.grading.assignment_folder import Assignment, read_assignment
from tests.unit.grading.a6_wrong_answers import WRONG_ANSWERS
from tests.unit.grading.local_solution import judged, shown

FOLDER = Path(__file__).parents[3] / "assignments" / "source" / "a6_message_api"


@pytest.fixture(scope="module")
def assignment() -> Assignment:
    return read_assignment(FOLDER)


def test_students_have_numbers_of_their_own(assignment: Assignment) -> None:
    (asked,) = (one for one in assignment.questions if one.id == "q4")
    measure = asked.function(asked.code(), "measure")
    answers = Counter(str(measure(None, f"student-{number}")) for number in range(30))
    assert max(answers.values()) == 1


def test_students_are_told_of_visible_mistakes_only(assignment: Assignment, tmp_path: Path) -> None:
    told = shown(assignment, tmp_path, "q6", WRONG_ANSWERS)
    assert told("another message under the same key") == ("wrong", 0, "another message under the same key")
    assert told("no key is needed") == ("wrong", 0, "no key is needed")
    assert told("looked, then put") == told("in progress for ever") == ("right", 1, "")


def test_a_sender_that_catches_everything_and_goes_on_is_not_waited_for(assignment: Assignment) -> None:
    """`except Exception` does not keep the rehearsal from ending it."""
    answer = """
@with_faults
def send(client, messages, pause):
    while True:
        try:
            return client.post("/message/create", json=messages).raise_for_status().json()
        except Exception:
            pass
"""
    verdict = judged(assignment, "q2", "ada", answer)
    assert verdict.points == 0
    assert "'end': 'never'" in verdict.feedback[-1].sentence + verdict.feedback[0].sentence
