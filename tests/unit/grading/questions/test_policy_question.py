"""A question about a policy names mistakes and policies that there are; who does not decide has no points."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from labkit.errors import BadAssignment, KernelEnded
from labkit.grading.questions import read_question
from labkit.grading.questions.policy_question import PolicyQuestion
from labkit.grading.questions.policy_run import AskedPolicy, Decided, draw_loads, faults_in, play, share_alike
from labkit.grading.sandbox.kernel import Returned
from labkit.policies import make_policy
from tests.unit.grading.local_solution import LocalSolution

TEXT = """
kind = "policy"
calls = "decide"
every = 4
title = "Who is next"
points = 3
minutes = 5

[[checks]]
name = "low"
points = 2
mistake = "Low has too little."
fails_by = ["low starves"]

[[checks]]
name = "room"
points = 1
mistake = "Room is left."
fails_by = ["room left empty", "low starves"]

[[mistakes]]
name = "equal"
policy = "weighted"
weights = { low = 1, high = 1 }
sentence = "They take turns."
"""
#: Decides by plain values: high first.
STRICT = """
def decide(view, now):
    waiting = [one["name"] for one in view["classes"] if one["waiting"]]
    start = waiting[0] if waiting and view["taken"] < view["capacity"] else None
    return {"start": start, "held": {}}
"""


def declared(folder: Path, text: str = TEXT) -> PolicyQuestion:
    file = folder / "q1.toml"
    file.write_text(text)
    question = read_question(file)
    assert isinstance(question, PolicyQuestion)
    return question


def decided_by(policy: str, seed: str = "seed", **weights: float) -> list[Decided]:
    decided: list[Decided] = []
    play(make_policy(policy), draw_loads(Random(seed)), decided, weights)
    return decided


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"low starves"]\n\n[[checks', '"low starve"]\n\n[[checks', "no mistake has the name 'low starve'"),
        ('"weighted"', '"weighed"', "the mistake 'equal' has no policy. There is no policy 'weighed'"),
        ("every = 4", "every = 1", "every"),
        ("every = 4", "every = 7", "every"),
        ("points = 3", "points = 4", "worth 4 points, and its checks 3"),
        ("[[mistakes]]", '[[mistakes]]\nname = "equal"\npolicy = "strict"\nsentence = "."\n\n[[mistakes]]', "two mist"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str, why: str) -> None:
    with pytest.raises(BadAssignment, match=why):
        declared(tmp_path, TEXT.replace(old, new))


@pytest.mark.parametrize(
    ("returned", "mistake"),
    [
        ("None", "no decision"),
        ("{'start': 3, 'held': {}}", "no decision"),
        ("{'start': 'nobody', 'held': {}}", "starts what does not wait"),
        ("{'start': None, 'held': {}, 'shed': ['high']}", "sheds tasks"),
        ("object()", "no decision"),
        ("1 / 0", "no decision"),
        ("end()", "no decision"),
        ("hang()", "waits or sleeps"),
    ],
)
def test_who_does_not_decide_has_no_points(tmp_path: Path, returned: str, mistake: str) -> None:
    verdict = declared(tmp_path).judge(LocalSolution(f"def decide(view, now): return {returned}"))
    assert (verdict.points, verdict.feedback[0].mistake) == (0, mistake)
    assert declared(tmp_path).judge(LocalSolution()).feedback[0].mistake == "no decision"


@pytest.mark.parametrize("credit", ["10**400", "-10**400", "float('inf')", "float('nan')", "'2'", "True"])
def test_a_credit_that_cannot_be_kept_is_no_decision(tmp_path: Path, credit: str) -> None:
    verdict = declared(tmp_path).judge(
        LocalSolution(STRICT.replace('"held": {}', f'"held": {{}}, "credits": {{"high": {credit}}}'))
    )
    assert (verdict.points, verdict.feedback[0].mistake) == (0, "no decision")


def test_of_a_decision_no_more_is_looked_at_than_is_needed() -> None:
    said = {"start": "low", "held": {"low": None}, "credits": {"high": 2, "nobody": 10**400}}
    decision = AskedPolicy(lambda view, now: Returned(said)).decide(decided_by("strict")[0].view, 0.0)
    assert (decision.start, decision.credits) == ("low", {"high": 2.0})


def test_cells_that_take_all_the_time_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def end() -> None:
        raise KernelEnded("It has taken all its time.")

    solution = LocalSolution(STRICT)
    monkeypatch.setattr(solution, "ready", end)
    assert declared(tmp_path).judge(solution).state == "not run"


def test_a_check_tells_its_own_sentence_only_for_what_it_is_about(tmp_path: Path) -> None:
    verdict = declared(tmp_path).judge(LocalSolution(STRICT))
    assert verdict.holds == (False, False)
    assert [feedback.mistake for feedback in verdict.feedback] == ["low starves", "low"]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 5))])
def test_what_was_promised_is_kept_by_weights_and_no_other_ones(seed: int) -> None:
    loads = draw_loads(Random(str(seed)))

    def faults(high: float, low: float, every: int = 4) -> set[str]:
        decided = decided_by("weighted", str(seed), high=high, low=low)
        return {fault.mistake for fault in faults_in(decided, loads, every)}

    assert faults(3, 1) == faults(1, 1, 2) == faults(5, 1, 6) == set()
    assert faults(4, 1) == faults(5, 1) == faults(6, 1) == faults(6, 1, 6) == {"low gets too little"}
    assert faults(9, 1) == {"low starves"}
    assert faults(2, 1) == faults(1, 1) == faults(4, 1, 6) == {"high pays too much"}
    assert faults(1, 3) == {"high starves"}


def test_policies_share_alike_whoever_begins() -> None:
    fair = decided_by("weighted", high=3, low=1)
    assert share_alike(fair, decided_by("weighted", high=3.0, low=1.0))
    assert not share_alike(fair, decided_by("weighted", high=1, low=1))
    assert not share_alike([], fair)
