"""Histories that Hypothesis makes: good ones are accepted, and exactly one defect in them is named."""

from __future__ import annotations

import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from labkit.faults import DUPLICATE, Event, History, check
from tests.unit.faults.defects import DEFECTS
from tests.unit.faults.names import names_in
from tests.unit.faults.play import CRASH, STALL, START, STOP, Plan, play
from tests.unit.faults.run import Replayer
from tests.unit.faults.test_checker import OF_NO_GROUP

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


@settings(max_examples=min(60, settings.default.max_examples))
@given(plans)
def test_a_good_history_is_accepted(plan):
    verdict = check(play(plan))
    assert names_in(verdict) <= {DUPLICATE}, verdict
    assert verdict.counts[DUPLICATE] <= verdict.redeliveries


@settings(max_examples=min(30, settings.default.max_examples))
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


@settings(max_examples=min(30, settings.default.max_examples))
@given(plans, st.lists(st.sampled_from(["committed", "assigned", "effect"]), unique=True))
def test_what_names_no_group_is_of_the_only_one(plan, nameless):
    history = play(plan)
    named = [replace(event, group=None if event.what in (*nameless, *OF_NO_GROUP) else "g") for event in history]
    assert check(named).counts == check(history).counts


@settings(max_examples=min(60, settings.default.max_examples))
@given(plans, sources)
def test_what_compaction_retention_and_acks_of_nothing_take_is_not_missed(plan, rng):
    """Letters that were replayed go too; the log tells its policy or does not."""
    verdict = check(cleaned(list(play(plan, replayer=Replayer)), rng))
    assert names_in(verdict) <= {DUPLICATE}, verdict


def cleaned(history, rng):
    """The same history, read from a log of which brokers have taken a part."""
    log = [event for event in history if event.what == "written"]
    clean = {event.partition: rng.randrange(len(log) + 2) for event in log}
    begin = {partition: rng.choice([0, 0, rng.randrange(end + 1)]) for partition, end in clean.items()}
    replaced = {}
    for event in sorted(log, key=lambda event: event.offset):
        if event.offset < clean[event.partition]:
            replaced[event.partition, event.key] = event.offset
    done = {event.task for event in history if event.what in ("finished", "repeated", "dead")}

    def is_kept(event):
        if event.what == "written":
            last = replaced.get((event.partition, event.key), -1)
            expired = event.offset < begin[event.partition] and event.task in done
            return not expired and event.offset >= min(last, clean[event.partition])
        gone = event.what == "dead" and (event.partition, event.offset) in taken
        return not (gone and rng.random() < 0.5)

    taken = {(event.partition, event.offset) for event in history if event.what == "replayed"}
    kept = [event for event in history if is_kept(event)]
    bare = rng.random() < 0.5
    kept = [replace(e, partition=None, offset=None) if bare and e.what == "acknowledged" else e for e in kept]
    if rng.random() < 0.3:
        told = {"by": "log", "at": 0.0, "note": "compact,delete"}
        for number, (partition, offset) in enumerate(begin.items(), 10**6):
            kept.append(Event(what="retained", seq=number, partition=partition, offset=offset, **told))
    return kept


@pytest.mark.hypothesis
@pytest.mark.parametrize("plant", DEFECTS, ids=lambda plant: plant.__name__)
def test_one_defect_is_named(plant):
    @settings(max_examples=min(25, settings.default.max_examples))
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
