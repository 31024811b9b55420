"""The questions of assignment a2: models have full marks, and each planted mistake is named, in the real sandbox."""

from __future__ import annotations

import time
from collections import Counter
from uuid import uuid4

import pytest

from labkit.grading.assignment_folder import Assignment, read_assignment
from labkit.grading.behaviour import student_time
from labkit.grading.behaviour.mistakes import (
    ABANDONED,
    ABUSE,
    ALL_IN_ONE,
    AUTO_COMMIT,
    BLOCKED_POLL,
    COMMIT_FIRST,
    CRASHED,
    DISORDER,
    ENDED_EARLY,
    LATE_COMMIT,
    LEFT,
    LOST,
    NO_SHARE,
    NOT_BEGUN,
    NOT_GROWN,
    NOT_IN_GROUP,
    NOT_LEFT,
    NOT_RESUMED,
    NOT_SENT,
    NOT_STOPPED,
    NOT_TAKEN_OVER,
    NOT_THERE,
    SENT_TWICE,
    SHARED_CONSUMER,
    TOPIC_GONE,
    TWICE,
    UNCOMMITTED,
    UNEVEN,
    UNKNOWN_TASK,
    WRONG_PLACE,
)
from labkit.grading.behaviour.student_worker import StudentWorker
from labkit.grading.grader import Grader
from labkit.grading.questions.behaviour_question import BehaviourQuestion
from labkit.grading.sandbox import Bubblewrap
from labkit.grading.sandboxed_solution import SandboxedSolution
from labkit.lab import Lab
from labkit.taskqueue.timeouts import wait_until
from tests.conditions import PATIENCE
from tests.integration.grading.assignment_source import SECRET, SOURCE
from tests.integration.grading.shared_broker import SharedBroker

FOLDER = SOURCE / "a2_task_queue"


@pytest.fixture(scope="module")
def assignment() -> Assignment:
    return read_assignment(FOLDER)


@pytest.fixture
def slow_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """From when a worker is to begin until its sandbox starts, the grader looks at it five times at least, and the
    clock goes on by 100 s with each look.
    """
    monkeypatch.setattr(student_time, "MOST_BETWEEN", 1000.0)
    looks: Counter[StudentWorker] = Counter()
    ended: set[StudentWorker] = set()
    started: set[StudentWorker] = set()
    run, is_over, end = StudentWorker._run, StudentWorker.is_over, StudentWorker._end

    def slow_run(self: StudentWorker) -> None:
        self._wanted.wait()
        wait_until(lambda: looks[self] >= 5 or self in ended, timeout=PATIENCE, what="somebody was to look")
        started.add(self)
        run(self)

    def look(self: StudentWorker) -> bool:
        looks[self] += self._wanted.is_set() and self not in started
        return is_over(self)

    def end_it(self: StudentWorker) -> None:
        ended.add(self)
        end(self)

    monkeypatch.setattr(StudentWorker, "_run", slow_run)
    monkeypatch.setattr(StudentWorker, "_end", end_it)
    monkeypatch.setattr(StudentWorker, "is_over", look)
    clock = {"clock": lambda: time.monotonic() + 100 * looks.total()}
    monkeypatch.setattr(SandboxedSolution.__init__, "__kwdefaults__", SandboxedSolution.__init__.__kwdefaults__ | clock)


@pytest.mark.slow
@pytest.mark.usefixtures("slow_starts")
def test_the_model_has_full_marks_however_long_a_sandbox_takes_to_start(
    sandbox: Bubblewrap, assignment: Assignment, lab: Lab
) -> None:
    grader = Grader(sandbox, assignment, secret=SECRET, brokers=SharedBroker(lab))
    report = grader.grade(FOLDER / "a2_task_queue.ipynb", student=uuid4().hex)
    assert [(verdict.state, verdict.feedback) for verdict in report.verdicts] == [("right", ())] * 3 + [("by hand", ())]
    assert (report.points, report.possible, report.notes) == (17, 20, ())


#: What a run ends by, so that nothing further is tried: it fails all checks.
ENDS = {NOT_THERE, CRASHED, ENDED_EARLY, ABUSE, TOPIC_GONE, UNKNOWN_TASK}
OF_PRODUCERS = {ALL_IN_ONE, NOT_SENT, SENT_TWICE, UNEVEN, WRONG_PLACE}
OF_GROUPS = {BLOCKED_POLL, NOT_IN_GROUP, NO_SHARE, NOT_TAKEN_OVER, NOT_RESUMED, NOT_GROWN}
OF_WORKERS = {
    SHARED_CONSUMER,
    COMMIT_FIRST,
    AUTO_COMMIT,
    LATE_COMMIT,
    NOT_BEGUN,
    LEFT,
    LOST,
    TWICE,
    DISORDER,
    NOT_STOPPED,
    ABANDONED,
    NOT_LEFT,
    UNCOMMITTED,
}


@pytest.mark.parametrize(
    ("name", "tried"),
    [
        ("q1", OF_PRODUCERS),
        ("q2", OF_WORKERS),
        ("q3", OF_WORKERS | OF_GROUPS),
    ],
)
def test_every_mistake_that_is_tried_fails_the_checks_that_it_concerns(
    assignment: Assignment, name: str, tried: set[str]
) -> None:
    """One that is in no list would fail all."""
    question = next(question for question in assignment.questions if question.id == name)
    assert isinstance(question, BehaviourQuestion)
    assert {mistake for check in question.checks for mistake in check.fails_by} == tried


@pytest.mark.parametrize("name", ["q2", "q3"])
def test_who_stops_in_the_middle_is_praised_for_nothing(assignment: Assignment, name: str) -> None:
    """What would have come then was not tried."""
    question = next(question for question in assignment.questions if question.id == name)
    assert isinstance(question, BehaviourQuestion)
    assert all(LEFT in check.fails_by for check in question.checks)
