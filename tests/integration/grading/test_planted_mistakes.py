"""The questions of how code behaves: each planted mistake is named, and other styles of right answers have full marks.

What stands in a file is what a student may write; its first line is the mistake's name, or names, where it is a race
which of them it comes to.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest

from labkit.grading.assignment_folder import read_assignment
from labkit.grading.question_verdict import QuestionVerdict
from labkit.grading.questions.behaviour_question import BehaviourQuestion
from labkit.grading.sandbox import Bubblewrap
from labkit.grading.sandboxed_solution import SandboxedSolution
from labkit.lab import Lab
from tests.integration.grading.assignment_source import SOURCE
from tests.integration.grading.shared_broker import SharedBroker

HONEST, PLANTED = Path(__file__).with_name("honest"), Path(__file__).with_name("planted")
#: Of each assignment a planted mistake that shows itself soon; the others are run in a long run.
SOON = {
    ("a1_topics_and_producer", "q5"): "no_key",
    ("a2_task_queue", "q3"): "own_groups",
    ("a3_job_status", "q2"): "every_event",
    ("a5_celery_bridge", "q4"): "error_let_through",
}


def place(file: Path) -> tuple[str, str]:
    """The assignment and the question that it answers."""
    return file.parents[1].name, file.parent.name


def answers(folder: Path) -> list[object]:
    """The files in it, and which of them belong into a long run."""
    return [
        pytest.param(
            file,
            id="-".join((*place(file), file.stem)),
            marks=[pytest.mark.slow] if SOON.get(place(file)) == file.stem else [pytest.mark.slow, pytest.mark.long],
        )
        for file in sorted(folder.glob("*/*/*.py"))
    ]


@pytest.fixture
def judged(sandbox: Bubblewrap, lab: Lab):
    def judge(file: Path) -> QuestionVerdict:
        """With a seed of its own, since topics are named by it and the broker is shared."""
        assignment, name = place(file)
        (question,) = (one for one in read_assignment(SOURCE / assignment).questions if one.id == name)
        cells = [(None, file.read_text())]
        with SandboxedSolution(sandbox, cells, student="ada", seed=uuid4().hex, brokers=SharedBroker(lab)) as solution:
            return question.judge(solution)

    return judge


@pytest.mark.parametrize("file", answers(HONEST))
def test_other_styles_have_full_marks(judged, file: Path) -> None:
    verdict = judged(file)
    assert (verdict.state, verdict.feedback) == ("right", ())


@pytest.mark.parametrize("file", answers(PLANTED))
def test_a_planted_mistake_fails_and_is_named(judged, file: Path) -> None:
    verdict = judged(file)
    assert verdict.state != "right"
    names = file.read_text().splitlines()[0].removeprefix("# ").split(" or ")
    assert verdict.feedback[0].mistake in names, verdict.feedback
    assert verdict.points < verdict.possible


def test_each_question_of_behaviour_has_at_least_five_planted_mistakes_and_each_assignment_one_in_every_run() -> None:
    asked = {
        (folder.name, question.id)
        for folder in SOURCE.iterdir()
        for question in read_assignment(folder).questions
        if isinstance(question, BehaviourQuestion)
    }
    planted = Counter(
        where for where, _ in {(place(file), file.read_text().splitlines()[0]) for file in PLANTED.glob("*/*/*.py")}
    )
    assert set(SOON) <= set(planted) == asked
    assert {assignment for assignment, _ in SOON} == {assignment for assignment, _ in asked}
    assert min(planted.values()) >= 5
    assert all((PLANTED.joinpath(*where) / f"{name}.py").exists() for where, name in SOON.items())
