"""Runs of the dispatcher under faults: which faults, and that one bad run among good ones counts."""

from __future__ import annotations

import pytest

from benchmarks import __main__ as command
from benchmarks import dispatch_faults
from benchmarks.dispatch_faults import LOADS, MIXTURE, Size, measure, mixed_faults
from labkit.faults.dispatch_run import DispatchRun
from labkit.faults.event import Event
from labkit.faults.history import History

WRITTEN = Event(what="written", by="log", seq=0, at=0.0, task="a", partition=0, offset=0)
OTHER = Event(what="written", by="log", seq=1, at=0.0, task="b", partition=0, offset=1)
EFFECT = Event(what="effect", by="process", seq=0, at=1.0, task="a", key="a")
FINISHED = Event(what="finished", by="process", seq=1, at=1.0, task="a")
AGAIN = Event(what="effect", by="process", seq=2, at=2.0, task="a", key="a")
FAULT = Event(what="fault", by="nemesis", seq=0, at=1.5, whom="Redis", note="SIGKILL")

#: By seed: one in order, one with an effect too many, one that lost its task.
HISTORIES = {
    1: [WRITTEN, EFFECT, FINISHED],
    2: [WRITTEN, EFFECT, FINISHED, AGAIN],
    3: [WRITTEN, OTHER, EFFECT, FINISHED],
}


def play(name, load, faults, seed) -> DispatchRun:
    histories = {"t": History(HISTORIES[seed])}
    return DispatchRun(
        load=load, seed=seed, faults=tuple(faults), histories=histories, events=History([FAULT]), seconds=1.0
    )


def test_a_run_has_faults_in_the_proportions_of_the_mixture_and_the_seed_orders_them():
    faults = mixed_faults(10, 1)
    assert {fault: faults.count(fault) for fault in MIXTURE} == MIXTURE
    assert faults == mixed_faults(10, 1) != mixed_faults(10, 2)
    assert len(set(mixed_faults(4, 1))) == 3


def test_what_the_issue_asks_for_is_what_is_measured():
    assert Size() == Size(tasks=5_000, faults=10, seeds=(1, 2, 3))
    assert command.BENCHMARKS["dispatch_faults"] is dispatch_faults.measure


@pytest.mark.parametrize(("seeds", "lost", "double"), [((1, 1), 0, 0), ((1, 2), 0, 1), ((3, 1), 1, 0)])
def test_one_bad_run_among_good_ones_counts(monkeypatch, seeds, lost, double):
    monkeypatch.setattr(dispatch_faults, "_run", play)
    figures = {figure.name: figure for figure in measure(Size(seeds=seeds))}
    for who in ("dispatcher", "bridge"):
        lost_of, double_of = figures[f"{who}_faults_lost"], figures[f"{who}_faults_double_effects"]
        assert (lost_of.value, double_of.value) == (lost, double)
        assert (lost_of.reached == "aim", double_of.reached == "aim") == (lost == 0, double == 0)


def test_a_fault_after_the_last_effect_was_in_vain():
    assert [play("", LOADS["bridge"], [], seed).in_vain for seed in (1, 2)] == [1, 0]
