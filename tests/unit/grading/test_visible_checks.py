"""What a release carries for its visible checks: enough to run them, and nothing of the hidden ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labkit.grading.assignment_folder import Assignment, read_assignment
from labkit.grading.behaviour.mistakes import COMMIT_FIRST, CRASHED, HINTS, LOST
from labkit.grading.check_errors import NotChecked
from labkit.grading.question_verdict import Feedback
from labkit.grading.questions.behaviour_question import BehaviourQuestion, Played
from labkit.grading.questions.value_question import ValueQuestion
from labkit.grading.visible_checks import FILE, add_to_release, read_checks, write_checks
from tests.unit.grading.a1_wrong_answers import WRONG_ANSWERS
from tests.unit.grading.local_solution import LocalSolution, solved
from tests.unit.grading.notebooks import write_assignment

SOURCE = Path(__file__).parents[3] / "assignments" / "source"
NAMES = [
    "a1_topics_and_producer",
    "a2_task_queue",
    "a3_job_status",
    "a4_priority_dispatcher",
    "a5_celery_bridge",
    "a6_message_api",
]


@pytest.fixture(scope="module", params=NAMES)
def source(request: pytest.FixtureRequest) -> Assignment:
    return read_assignment(SOURCE / request.param)


@pytest.fixture(scope="module")
def a1() -> Assignment:
    return read_assignment(SOURCE / NAMES[0])


@pytest.fixture(scope="module")
def a1_released(a1: Assignment, tmp_path_factory: pytest.TempPathFactory) -> Assignment:
    folder = tmp_path_factory.mktemp("release")
    write_checks(a1, folder)
    return read_checks(folder)


def test_nothing_of_the_hidden_checks_and_of_the_solutions_is_in_it(source: Assignment, tmp_path: Path) -> None:
    text = write_checks(source, tmp_path).read_text()
    assert "BEGIN SOLUTION" not in text
    assert str(SOURCE) not in text
    for question in source.questions:
        shown = {check.mistake for check in question.checks if check.visible}
        for check in question.checks:
            if not check.visible:
                assert f'"{check.name}"' not in text
                assert check.mistake in shown or check.mistake not in text
        code = question.file.with_suffix(".py")
        if code.exists():
            lines = {line.strip() for line in code.read_text().splitlines() if len(line.strip()) > 20}
            assert not any(line in json.dumps(json.loads(text)["questions"], ensure_ascii=False) for line in lines)


def test_it_is_read_as_it_was_written(source: Assignment, tmp_path: Path) -> None:
    write_checks(source, tmp_path)
    read = read_checks(tmp_path)
    assert (read.name, read.release, read.source) == (source.name, source.release, ())
    assert [question.id for question in read.questions] == [question.id for question in source.questions]
    for theirs, ours in zip(read.questions, source.questions, strict=True):
        assert [check.name for check in theirs.checks] == [
            check.name for check in ours.checks if check.visible and theirs.name != "claim"
        ]
    assert [question.id for question in read_checks(SOURCE / source.name).questions] == [
        question.id for question in source.questions
    ]


def judged(a1: Assignment, released: Assignment, name: str, answer: str | None = None):
    (question,) = (question for question in released.questions if question.id == name)
    return question.judge(solved(a1, "ada", **({name: answer} if answer else {})))


@pytest.mark.parametrize(("name", "points"), [("q1", 1), ("q2", 1), ("q3", 0), ("q4", 0)])
def test_the_model_passes(a1: Assignment, a1_released: Assignment, name: str, points: float) -> None:
    verdict = judged(a1, a1_released, name)
    assert (verdict.state, verdict.points, verdict.possible, verdict.feedback) == ("right", points, points, ())


@pytest.mark.parametrize(
    ("name", "mistake", "answer"),
    [
        (name, mistake, answer)
        for name, mistake, _, answer in WRONG_ANSWERS
        if name in ("q1", "q2") and mistake in ("sign bit kept", "counted from one", "several records")
    ],
)
def test_a_known_mistake_is_named_without_its_code(
    a1: Assignment, a1_released: Assignment, name: str, mistake: str, answer: str
) -> None:
    verdict = judged(a1, a1_released, name, answer)
    assert (verdict.state, verdict.points) == ("wrong", 0)
    assert verdict.feedback[0].mistake == mistake


def test_a_claim_that_is_none_is_told(a1: Assignment, a1_released: Assignment) -> None:
    verdict = judged(a1, a1_released, "q4", "share_moved = object()")
    assert verdict.state == "wrong"
    assert "share_moved" in verdict.feedback[0].sentence


def test_a_mistake_that_no_visible_call_shows_is_left_out(a1: Assignment, a1_released: Assignment) -> None:
    ours, theirs = (
        {mistake.name for mistake in question.mistakes}
        for assignment in (a1, a1_released)
        for question in assignment.questions
        if question.id == "q2" and isinstance(question, ValueQuestion)
    )
    assert ours - theirs == {"first and last only", "once for each move", "not sorted"}


def test_what_only_hidden_checks_are_about_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checks(read_assignment(SOURCE / "a2_task_queue"), tmp_path)
    (question,) = (one for one in read_checks(tmp_path).questions if one.id == "q2")
    found = [Feedback(name, "…", HINTS[name]) for name in (CRASHED, COMMIT_FIRST, LOST)]
    monkeypatch.setattr(BehaviourQuestion, "run", lambda self, solution: Played(found))
    verdict = question.judge(LocalSolution())
    assert verdict.holds == (False,)
    assert [feedback.mistake for feedback in verdict.feedback] == [CRASHED, LOST, "every task is done, in order"]
    found[:] = [Feedback(COMMIT_FIRST, "…")]
    assert question.judge(LocalSolution()).feedback == ()


def test_nbgrader_s_hook_puts_it_beside_the_released_notebook(tmp_path: Path) -> None:
    folder = write_assignment(tmp_path / "source")
    add_to_release(assignment="double", student=".", notebooks=[str(folder / "double.ipynb")])
    assert read_checks(tmp_path / "release" / "double").name == "double"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "copy it there, or fetch the assignment again"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"version": 1, "assignment": "a", "cells": [], "questions": [{"kind": "none", "id": "q1"}]}', "is damaged"),
        ('{"version": 9, "assignment": "a", "cells": [], "questions": []}', "version 9"),
    ],
)
def test_a_file_that_is_none_is_said(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / FILE).write_text(content)
    with pytest.raises(NotChecked, match=said):
        read_checks(tmp_path)
