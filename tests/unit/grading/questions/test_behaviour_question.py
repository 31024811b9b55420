"""A question of behaviour names mistakes that there are; what is found fails the checks that name it, or all."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import BadAssignment, BrokerFailed, KernelEnded
from labkit.grading.question_verdict import Feedback
from labkit.grading.questions import read_question
from labkit.grading.questions.behaviour_question import BehaviourQuestion
from labkit.grading.sandboxed_solution import SandboxedSolution
from tests.unit.grading.local_solution import LocalSolution

TEXT = """
kind = "behaviour"
scenario = "worker"
calls = "work"
title = "Work"
points = 3
minutes = 5

[[checks]]
name = "commits"
points = 2
mistake = "It does not commit as it should."
fails_by = ["commit before the work", "lost task"]

[[checks]]
name = "stops"
points = 1
mistake = "It does not stop."
fails_by = ["no clean stop"]
"""


def declared(folder: Path, text: str = TEXT) -> BehaviourQuestion:
    file = folder / "q1.toml"
    file.write_text(text)
    question = read_question(file)
    assert isinstance(question, BehaviourQuestion)
    return question


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"worker"', '"play"', "no scenario 'play'; there are producer, worker, group"),
        ('"lost task"', '"lots task"', "no mistake has the name 'lots task'"),
        ('["no clean stop"]', "[]", "length"),
        ("points = 3", "points = 4", "worth 4 points, and its checks 3"),
        ('title = "Work"', 'title = "Work"\npartitions = 0', "partitions"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str, why: str) -> None:
    with pytest.raises(BadAssignment, match=why):
        declared(tmp_path, TEXT.replace(old, new))


@pytest.mark.parametrize(
    ("mistakes", "points", "state"),
    [
        ([], 3, "right"),
        (["no clean stop"], 2, "partial"),
        (["lost task", "commit before the work"], 1, "partial"),
        (["lost task", "no clean stop"], 0, "wrong"),
        (["ended by an error"], 0, "wrong"),
    ],
)
def test_a_mistake_fails_the_checks_that_name_it_or_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistakes: list[str], points: float, state: str
) -> None:
    found = [Feedback(mistake, "A sentence.") for mistake in mistakes]
    monkeypatch.setattr(BehaviourQuestion, "run", lambda *_: found)
    verdict = declared(tmp_path).judge(LocalSolution())
    assert (verdict.points, verdict.possible, verdict.state) == (points, 3, state)
    assert [one.mistake for one in verdict.feedback] == mistakes


def test_a_submission_without_time_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def over(_: LocalSolution) -> None:
        raise KernelEnded("The time is over.")

    monkeypatch.setattr(LocalSolution, "ready", over)
    verdict = declared(tmp_path).judge(LocalSolution())
    assert (verdict.state, verdict.points) == ("not run", 0)
    assert verdict.feedback[0].sentence == "The time is over."


def test_a_grader_without_brokers_says_so() -> None:
    with pytest.raises(BrokerFailed, match="the grader was given none"):
        SandboxedSolution(None, [], student="ada", seed="a").broker()
