"""The fifth assignment end to end: in the sandbox as it is graded, and on the lab as a student tries it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest

from labkit.grading.assignment_folder import Assignment, read_assignment
from labkit.grading.behaviour import mistakes
from labkit.grading.grader import Grader
from labkit.grading.questions.behaviour_question import BehaviourQuestion
from labkit.grading.sandbox import Bubblewrap
from labkit.lab import Lab
from tests.integration.grading.assignment_source import SECRET, SOURCE, handed_in, tried_out
from tests.integration.grading.shared_broker import SharedBroker
from tests.unit.grading.a5_wrong_answers import WRONG_ANSWERS

FOLDER = SOURCE / "a5_celery_bridge"
#: One wrong answer to each question that needs no broker.
MISTAKES = {
    "q1": "acks_late alone",
    "q2": "what runs is not counted",
    "q3": "another id each time",
    "q5": "looked first",
    "q6": "never expires",
}


@pytest.fixture(scope="module")
def assignment() -> Assignment:
    return read_assignment(FOLDER)


@pytest.mark.slow
def test_the_model_has_full_marks(sandbox: Bubblewrap, assignment: Assignment, lab: Lab) -> None:
    grader = Grader(sandbox, assignment, secret=SECRET, brokers=SharedBroker(lab))
    report = grader.grade(FOLDER / f"{FOLDER.name}.ipynb", student=uuid4().hex)
    assert [(verdict.state, verdict.feedback) for verdict in report.verdicts] == [("right", ())] * 6 + [("by hand", ())]
    assert (report.points, report.possible, report.notes) == (30, 33, ())


@pytest.mark.slow
@pytest.mark.long
def test_each_wrong_answer_is_named_and_always_the_same(
    sandbox: Bubblewrap, assignment: Assignment, tmp_path: Path
) -> None:
    planted = {(question, mistake): answer for question, mistake, _, answer in reversed(WRONG_ANSWERS)}
    answers = {question: planted[question, mistake] for question, mistake in MISTAKES.items()}
    notebook = handed_in(tmp_path / "a.ipynb", answers)
    grader = Grader(sandbox, assignment, secret=SECRET)
    report = grader.grade(notebook, student="ada")
    found = {verdict.question: verdict.feedback[0].mistake for verdict in report.verdicts}
    assert {question: found[question] for question in MISTAKES} == MISTAKES
    assert report.points < report.possible / 3
    assert grader.grade(notebook, student="ada") == report


def test_what_is_tried_out_on_the_lab_is_as_the_text_says(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """All cells but the checks, also those for trying out."""
    names = tried_out(FOLDER, lab, monkeypatch)
    assert names["times"] == Counter({f"task-{number}": 1 for number in range(1, 11)}) + Counter(["task-4"])


#: What the scenario looks for.
OF_BRIDGES = {
    mistakes.SHARED_CONSUMER,
    mistakes.COMMIT_FIRST,
    mistakes.AUTO_COMMIT,
    mistakes.LATE_COMMIT,
    mistakes.NOT_TAKEN_OVER,
    mistakes.PASSED_OVER,
    mistakes.NOT_BORNE,
    mistakes.REFUSED_DONE,
    mistakes.LOST,
    mistakes.TWICE,
    mistakes.DISORDER,
    mistakes.NOT_STOPPED,
    mistakes.NOT_LEFT,
    mistakes.UNCOMMITTED,
}


def test_every_mistake_that_is_tried_fails_the_checks_that_it_concerns(assignment: Assignment) -> None:
    """One that is in no list would fail all, as tasks that are left do."""
    question = next(question for question in assignment.questions if question.id == "q4")
    assert isinstance(question, BehaviourQuestion)
    assert {mistake for check in question.checks for mistake in check.fails_by} == OF_BRIDGES


@pytest.mark.parametrize("mistake", [mistakes.PASSED_OVER, mistakes.NOT_BORNE])
def test_who_ends_when_the_other_broker_is_away_is_praised_for_what_came_before(
    assignment: Assignment, mistake: str
) -> None:
    question = next(question for question in assignment.questions if question.id == "q4")
    assert isinstance(question, BehaviourQuestion)
    assert [holds for _, holds in question.shares([mistake])] == [True, False, False, False]
