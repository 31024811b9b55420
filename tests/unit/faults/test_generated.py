"""Histories that Hypothesis makes: good ones are accepted, and exactly one defect in them is named."""

from __future__ import annotations

import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from labkit.faults import DUPLICATE, History, check
from tests.unit.faults.defects import DEFECTS
from tests.unit.faults.names import names_in
from tests.unit.faults.play import CRASH, STALL, START, STOP, Plan, play

pytestmark = pytest.mark.slow

plans = st.builds(
    Plan,
    seed=st.integers(0, 2**32),
    faults=st.lists(st.sampled_from([None, None, CRASH, STALL, START, STOP]), min_size=1, max_size=30),
    tasks=st.integers(1, 60),
    keys=st.integers(1, 5),
    partitions=st.integers(1, 3),
)
sources = st.integers(0, 2**32).map(random.Random)


@settings(max_examples=60)
@given(plans)
def test_a_good_history_is_accepted(plan):
    verdict = check(play(plan))
    assert names_in(verdict) <= {DUPLICATE}, verdict
    assert verdict.counts[DUPLICATE] <= verdict.redeliveries


@settings(max_examples=30)
@given(plans, sources)
def test_neither_clocks_nor_the_order_of_the_list_count(plan, rng):
    """Every actor's clock is off by a time of its own, runs backwards, and the events are shuffled."""
    history = play(plan)
    off = {actor: rng.uniform(-1e6, 1e6) for actor in {event.by for event in history}}
    shuffled = [replace(event, at=off[event.by] - event.at) for event in history]
    rng.shuffle(shuffled)
    assert check(History(shuffled)).counts == check(history).counts


@settings(max_examples=20)
@given(plans, sources)
def test_doubled_lines_count_once(plan, rng):
    history = list(play(plan))
    doubled = history + rng.choices(history, k=len(history))
    rng.shuffle(doubled)
    assert check(doubled).counts == check(history).counts


@pytest.mark.parametrize("plant", DEFECTS, ids=lambda plant: plant.__name__)
def test_one_defect_is_named(plant):
    @settings(max_examples=25)
    @given(plans, sources)
    def one_defect_is_named(plan, rng):
        good = play(plan)
        bad = plant(good, rng)
        assume(bad is not None)
        verdict, before = check(bad), check(good)
        grown = {name for name, count in verdict.counts.items() if count > before.counts[name]}
        assert grown == DEFECTS[plant], verdict
        assert names_in(verdict) - {DUPLICATE} == DEFECTS[plant] - {DUPLICATE}

    one_defect_is_named()
