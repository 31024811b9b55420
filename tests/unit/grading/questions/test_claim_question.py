"""A claim holds within the noise that was measured, and a known mistake is named by what it would have claimed."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from labkit.errors import BadAssignment
from labkit.grading.questions import Question, read_question
from tests.unit.grading.local_solution import LocalSolution

DECLARED = """
kind = "claim"
title = "The share of heads"
points = 3
minutes = 5
claim = "share"
runs = 200

[[checks]]
name = "about right"
points = 1
deviations = 40
mistake = "That is far off."

[[checks]]
name = "right"
points = 2
mistake = "That is more than chance."

[[mistakes]]
name = "counted tails"
answer = "tails"
sentence = "These are the tails."
"""
FUNCTIONS = """
def measure(rng, student):
    return sum(rng.random() < 0.3 for _ in range(1000)) / 1000

def tails(rng, student):
    return 1 - measure(rng, student)
"""
PLOT = """
def measure(rng, student):
    return {"label": student, "x": [1, 2, 3], "y": [10 * number + rng.gauss(0, 1) for number in (1, 2, 3)]}

tails = measure
"""


def declare(folder: Path, functions: str = FUNCTIONS, old: str = "", new: str = "") -> Question:
    assert old in DECLARED
    (folder / "q1.toml").write_text(DECLARED.replace(old, new) if old else DECLARED)
    (folder / "q1.py").write_text(functions)
    return read_question(folder / "q1.toml")


@pytest.mark.parametrize(
    ("code", "points", "name"),
    [
        ("share = 0.3", 3, None),
        ("share = 0.32", 3, None),
        ("share = 0.4", 1, "right"),
        ("share = 0.7", 1, "counted tails"),
        ("share = 30", 0, "about right"),
        ("share = 10**400", 0, "about right"),
        ("share = float('nan')", 0, "about right"),
        ("share = True", 0, "about right"),
        ("share = '0.3'", 0, "about right"),
        ("share = [0.3]", 0, "about right"),
        ("share = []", 0, "about right"),
        ("share = lambda: 0.3", 0, "no value"),
        ("", 0, "no value"),
    ],
)
def test_a_number(tmp_path: Path, code: str, points: float, name: str | None) -> None:
    verdict = declare(tmp_path).judge(LocalSolution(code))
    assert verdict.points == points
    assert (verdict.feedback[0].mistake if verdict.feedback else None) == name


def test_what_was_claimed_is_said(tmp_path: Path) -> None:
    verdict = declare(tmp_path).judge(LocalSolution("share = 0.4"))
    assert verdict.feedback[0].sentence == "That is more than chance. share is 0.4."
    assert "NameError" in declare(tmp_path).judge(LocalSolution("")).feedback[0].sentence


@pytest.mark.parametrize(
    ("claim", "holds"),
    [
        ({"label": "ada", "x": [1, 2, 3], "y": [10.5, 19, 31]}, True),
        ({"y": [10.5, 19, 31], "x": [1.0, 2, 3], "label": "ada"}, True),
        ({"label": "grace", "x": [1, 2, 3], "y": [10.5, 19, 31]}, False),
        ({"label": "ada", "x": [1, 2, 4], "y": [10.5, 19, 31]}, False),
        ({"label": "ada", "x": [1, 2, 3], "y": [10.5, 19, 90]}, False),
        ({"label": "ada", "x": [1, 2, 3], "y": [10.5, 19]}, False),
        ({"label": "ada", "x": [1, 2, 3], "y": [10.5, 19, 31, 40]}, False),
        ({"label": "ada", "x": [1, 2, 3]}, False),
    ],
)
def test_the_data_of_a_plot(tmp_path: Path, claim: object, *, holds: bool) -> None:
    verdict = declare(tmp_path, PLOT).judge(LocalSolution(f"share = {claim!r}"))
    assert (verdict.state == "right") == holds


def test_a_claim_that_would_be_too_large_with_all_its_keys_written_out_is_a_wrong_one(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        verdict = declare(tmp_path, PLOT).judge(LocalSolution("share = {'k' * 800_000: [0] * 90_000}"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert verdict.state == "wrong"
    assert peak < 100 * 1024**2


def test_without_noise_it_has_to_be_exact(tmp_path: Path) -> None:
    question = declare(tmp_path, "def measure(rng, student): return 1 / 3\ntails = measure")
    assert question.judge(LocalSolution("share = 1 - 2 / 3")).state == "right"
    assert question.judge(LocalSolution("share = 0.3333")).points == 0


def test_what_is_least_counts_where_there_is_less_noise(tmp_path: Path) -> None:
    functions = "def measure(rng, student): return 1 / 3\ntails = measure"
    question = declare(tmp_path, functions, "deviations = 40", "least = 0.01")
    assert question.judge(LocalSolution("share = 0.33")).points == 1


@pytest.mark.parametrize(
    ("functions", "old", "new", "said"),
    [
        (FUNCTIONS, 'claim = "share"', 'claim = "share()"', "`claim`"),
        (FUNCTIONS, 'answer = "tails"', 'differs = "between calls"', "needs an answer"),
        ("tails = len", "", "", "no function measure"),
    ],
)
def test_a_declaration_that_cannot_be_asked_is_refused(
    tmp_path: Path, functions: str, old: str, new: str, said: str
) -> None:
    with pytest.raises(BadAssignment, match=said):
        declare(tmp_path, functions, old, new)


def test_a_measurement_that_is_something_else_each_time_is_the_instructor_s_mistake(tmp_path: Path) -> None:
    functions = "def measure(rng, student): return [1] * rng.randrange(9)\ntails = measure"
    with pytest.raises(BadAssignment, match="measures something else each time"):
        declare(tmp_path, functions).judge(LocalSolution("share = 1"))


PARTS = """
def measure(rng, student):
    return {"before": {"a": 1}, "after": {"a": 2}}

def tails(rng, student):
    return {"before": {"a": 2}, "after": {"a": 1}}
"""


@pytest.mark.parametrize(
    ("claim", "points", "name"),
    [
        ({"before": {"a": 1}, "after": {"a": 2}}, 3, None),
        ({"before": {"a": 1}, "after": {"a": 3}}, 1, "right"),
        ({"before": {"a": 1}}, 1, "right"),
        ({"before": {"a": 1}, "beforehand": 3, "after": {"a": 2}}, 3, None),
        ({"before": {"a": 1, "b": 1}, "after": {"a": 2}}, 2, "about right"),
        ({"before": {"a": 2}, "after": {"a": 1}}, 0, "counted tails"),
        ({"before": {"a": 2}, "after": {"a": 3}}, 0, "about right"),
    ],
)
def test_parts_count_by_themselves(tmp_path: Path, claim: object, points: float, name: str | None) -> None:
    declare(tmp_path, PARTS)
    text = DECLARED.replace("deviations = 40", 'part = ".before"').replace("points = 2", 'points = 2\npart = ".after"')
    (tmp_path / "q1.toml").write_text(text)
    verdict = read_question(tmp_path / "q1.toml").judge(LocalSolution(f"share = {claim!r}"))
    assert verdict.points == points
    assert (verdict.feedback[0].mistake if verdict.feedback else None) == name


def test_a_part_that_nothing_was_measured_of_is_the_instructor_s_mistake(tmp_path: Path) -> None:
    question = declare(tmp_path, PARTS, "deviations = 40", 'part = ".befor_"')
    with pytest.raises(BadAssignment, match=r"measure has no part '\.befor_', which the check 'about right' is about"):
        question.judge(LocalSolution("share = 1"))
