"""What `docs/questions.md` shows can be asked, and does what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labkit.grading.behaviour.scenario import SCENARIOS
from labkit.grading.questions import Question, read_question
from tests.unit.grading.local_solution import LocalSolution

PAGE = (Path(__file__).parents[4] / "docs" / "questions.md").read_text()
VALUE, CLAIM, POLICY, BEHAVIOUR = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
_, FUNCTIONS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
HEADS = "def measure(rng, student): return sum(rng.random() < 0.5 for _ in range(1000)) / 1000"


def declare(folder: Path, declared: str, functions: str) -> Question:
    (folder / "q1.toml").write_text(declared)
    (folder / "q1.py").write_text(functions)
    return read_question(folder / "q1.toml")


@pytest.mark.parametrize(
    ("body", "points", "mistakes"),
    [
        ("-(-n // m) * m", 3, []),
        ("(n // m + 1) * m", 0, ["one too far", "small numbers", "any number"]),
        ("float(-(-n // m) * m)", 0, ["small numbers", "any number"]),
    ],
)
def test_the_question_about_values(tmp_path: Path, body: str, points: float, mistakes: list[str]) -> None:
    question = declare(tmp_path, VALUE, FUNCTIONS)
    verdict = question.judge(LocalSolution(f"def next_multiple(n, m): return {body}"))
    assert verdict.points == points
    assert [one.mistake for one in verdict.feedback] == mistakes


@pytest.mark.parametrize(("claim", "points"), [(0.5, 2), (0.51, 2), (0.6, 0)])
def test_the_question_about_a_claim(tmp_path: Path, claim: float, points: float) -> None:
    assert declare(tmp_path, CLAIM, HEADS).judge(LocalSolution(f"share = {claim}")).points == points


def test_the_question_about_a_policy(tmp_path: Path) -> None:
    turns = """
def decide(view, now):
    waiting = [one["name"] for one in view["classes"] if one["waiting"]] * (view["taken"] < view["capacity"])
    return {"start": min(waiting, key=lambda name: name == view["last"], default=None), "held": {}}
"""
    verdict = declare(tmp_path, POLICY, "").judge(LocalSolution(turns))
    assert (verdict.points, verdict.feedback[0].mistake) == (0, "equal turns")


def test_the_question_about_behaviour_can_be_asked(tmp_path: Path) -> None:
    (tmp_path / "q1.toml").write_text(BEHAVIOUR)
    assert read_question(tmp_path / "q1.toml").points == 3


def test_every_scenario_is_on_the_page() -> None:
    assert {name for name in SCENARIOS if f"| `{name}` |" in PAGE} == set(SCENARIOS)
