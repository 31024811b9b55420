"""The questions of assignment a2: models have full marks, and each planted mistake is named, in the real sandbox."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest

from labkit.grading.assignment_folder import Assignment, read_assignment
from labkit.grading.behaviour import student_time
from labkit.grading.behaviour.mistakes import (
    ABUSE,
    ALL_IN_ONE,
    BLOCKED_POLL,
    CRASHED,
    ENDED_EARLY,
    HINTS,
    LEFT,
    NO_SHARE,
    NOT_GROWN,
    NOT_IN_GROUP,
    NOT_RESUMED,
    NOT_SENT,
    NOT_TAKEN_OVER,
    NOT_THERE,
    SENT_TWICE,
    TOPIC_GONE,
    UNEVEN,
    UNKNOWN_TASK,
    WRONG_PLACE,
)
from labkit.grading.behaviour.student_worker import StudentWorker
from labkit.grading.course_secret import CourseSecret
from labkit.grading.grader import Grader
from labkit.grading.question_verdict import QuestionVerdict
from labkit.grading.questions.behaviour_question import BehaviourQuestion
from labkit.grading.sandbox import Bubblewrap
from labkit.grading.sandboxed_solution import SandboxedSolution
from labkit.lab import Lab
from labkit.taskqueue.timeouts import wait_until
from tests.conditions import PATIENCE
from tests.integration.grading.shared_broker import SharedBroker
from tests.unit.grading.notebooks import noted, write

FOLDER = Path(__file__).parents[3] / "assignments" / "source" / "a2_task_queue"
HONEST = Path(__file__).with_name("honest") / "a2_task_queue"
PLANTED = Path(__file__).with_name("planted") / "a2_task_queue"
SECRET = CourseSecret(b"of the tests")


@pytest.fixture(scope="module")
def assignment() -> Assignment:
    return read_assignment(FOLDER)


@pytest.fixture(scope="module")
def judged(assignment: Assignment, sandbox: Bubblewrap, lab: Lab):
    def judge(name: str, *cells: str) -> QuestionVerdict:
        """Each with a seed of its own, since topics are named by it and the broker is shared."""
        question = next(question for question in assignment.questions if question.id == name)
        listed = [(None, cell) for cell in cells]
        with SandboxedSolution(sandbox, listed, student="ada", seed=uuid4().hex, brokers=SharedBroker(lab)) as solution:
            return question.judge(solution)

    return judge


@pytest.fixture
def slow_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """From when a worker is to begin until its function is called, the grader looks at it five times at least, and the
    clock goes on by 100 s with each look.
    """
    monkeypatch.setattr(student_time, "MOST_BETWEEN", 1000.0)
    looks: Counter[StudentWorker] = Counter()
    ended: set[StudentWorker] = set()
    run, is_over, end = StudentWorker._run, StudentWorker.is_over, StudentWorker._end

    def slow_run(self: StudentWorker) -> None:
        self._wanted.wait()
        wait_until(lambda: looks[self] >= 5 or self in ended, timeout=PATIENCE, what="somebody was to look")
        run(self)

    def look(self: StudentWorker) -> bool:
        looks[self] += self._wanted.is_set() and not self.is_called
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


def test_what_was_released_has_none_and_needs_no_broker(
    sandbox: Bubblewrap, assignment: Assignment, tmp_path: Path
) -> None:
    released = [
        noted(one.source, one.nbgrader.grade_id, one.kind, solution=one.nbgrader.solution)
        for one in assignment.release
        if one.nbgrader
    ]
    report = Grader(sandbox, assignment, secret=SECRET).grade(write(tmp_path / "a.ipynb", released), student="ada")
    assert report.points == 0
    assert {verdict.state for verdict in report.verdicts} == {"not run"}


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted(HONEST.glob("*/*.py")), ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_other_styles_have_full_marks(judged, file: Path) -> None:
    verdict = judged(file.parent.name, file.read_text())
    assert (verdict.state, verdict.feedback) == ("right", ())


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted(PLANTED.glob("*/*.py")), ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_a_planted_mistake_fails_and_is_named(judged, file: Path) -> None:
    """The first line of the file is the mistake's name, or names, where it is a race which of them it comes to."""
    code = file.read_text()
    verdict = judged(file.parent.name, code)
    assert verdict.state != "right"
    assert verdict.feedback[0].mistake in code.splitlines()[0].removeprefix("# ").split(" or "), verdict.feedback
    assert verdict.points < verdict.possible


@pytest.mark.parametrize("name", ["q1", "q2", "q3"])
def test_each_question_has_at_least_five_planted_mistakes(name: str) -> None:
    assert len({file.read_text().splitlines()[0] for file in PLANTED.glob(f"{name}/*.py")}) >= 5


#: What a run ends by, so that nothing further is tried: it fails all checks.
ENDS = {NOT_THERE, CRASHED, ENDED_EARLY, ABUSE, TOPIC_GONE, UNKNOWN_TASK}
OF_PRODUCERS = {ALL_IN_ONE, NOT_SENT, SENT_TWICE, UNEVEN, WRONG_PLACE}
OF_GROUPS = {BLOCKED_POLL, NOT_IN_GROUP, NO_SHARE, NOT_TAKEN_OVER, NOT_RESUMED, NOT_GROWN}


@pytest.mark.parametrize(
    ("name", "tried"),
    [
        ("q1", OF_PRODUCERS),
        ("q2", {*HINTS} - ENDS - OF_PRODUCERS - OF_GROUPS),
        ("q3", {*HINTS} - ENDS - OF_PRODUCERS),
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
