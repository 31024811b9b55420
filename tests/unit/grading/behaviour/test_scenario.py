"""Scenarios by name, by the place of one of somebody else's, and by its entry point."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from labkit.errors import BrokerUnreachable, GradingFailed
from labkit.grading.behaviour.behaviour_run import RunCut
from labkit.grading.behaviour.scenario import SCENARIOS, find_scenario

OWN = """
def play(run):
    run.heard("played")
    raise run.error
"""


@pytest.fixture
def own(own_distribution: Callable[..., None]) -> None:
    own_distribution("own_scenarios", OWN, "labkit.scenarios", "calm = own_scenarios:play")


@pytest.mark.parametrize("name", ["calm", "own_scenarios:play"])
@pytest.mark.parametrize(
    ("error", "seen"),
    [(RunCut(), RunCut), (BrokerUnreachable(), BrokerUnreachable), (KeyError("a"), GradingFailed)],
)
def test_one_of_somebody_else_s_is_found_and_what_it_raises_is_no_student_s(
    own: None, name: str, error: Exception, seen: type[Exception]
) -> None:
    heard: list[str] = []
    with pytest.raises(seen):
        find_scenario(name)(SimpleNamespace(heard=heard.append, error=error))  # type: ignore[arg-type]
    assert heard == ["played"]


def test_labkit_s_own_are_found_by_name() -> None:
    assert {name: find_scenario(name) for name in SCENARIOS} == SCENARIOS
