"""Runs under faults: which faults, and that one bad run among good ones counts."""

import pandas as pd
import pytest

from benchmarks import __main__ as command
from benchmarks import crashes
from benchmarks.crashes import (
    MIXTURE,
    Series,
    crash_figures,
    describe,
    mixed_faults,
    restart_figures,
    soak,
    soak_figures,
)
from labkit.faults.checker import check
from labkit.faults.event import Event
from labkit.faults.history import History
from labkit.faults.worker_run import FaultRun, WorkerLoad
from labkit.measure.records import to_frame
from labkit.taskqueue import constant

LOAD = WorkerLoad(tasks=4, service=constant(0.001))


def series(seeds) -> Series:
    return Series(name="try", load=LOAD, faults=lambda seed: ["kill worker"], seeds=seeds)


def run_with(events, seed) -> FaultRun:
    history = History(events)
    return FaultRun(
        load=LOAD,
        seed=seed,
        faults=("kill worker",),
        records=to_frame([]),
        receipts=pd.DataFrame(),
        history=history,
        verdict=check(history),
        seconds=1.0,
        recovery=float(seed),
    )


def acknowledged(seq, task):
    return Event(what="acknowledged", by="producer", seq=seq, at=0.0, task=task, partition=0, offset=seq)


def finished(seq, task):
    return Event(what="finished", by="worker-1", seq=seq, at=1.0, task=task, partition=0, offset=0)


GOOD = [acknowledged(0, "a"), finished(0, "a")]
LOST = [acknowledged(0, "a")]
TWICE = [*GOOD, finished(1, "a")]


@pytest.fixture
def runs(monkeypatch):
    """What the runs give, by their seeds, instead of a quarter of an hour on a broker."""
    planned = {}
    monkeypatch.setattr(crashes, "_run", lambda series, seed: run_with(planned[seed], seed))
    return planned


@pytest.mark.parametrize("count", [10, 50, 7])
def test_mixed_faults_are_so_many_of_all_kinds_and_the_seed_repeats_them(count):
    faults = mixed_faults(count, seed=1)
    assert len(faults) == count
    assert set(faults) == set(MIXTURE)
    assert faults == mixed_faults(count, seed=1) != mixed_faults(count, seed=2)


def test_fifty_faults_have_the_proportions_of_the_mixture():
    faults = mixed_faults(50, seed=3)
    assert {fault: faults.count(fault) for fault in MIXTURE} == {fault: 5 * share for fault, share in MIXTURE.items()}


def test_the_soak_is_what_the_figures_demand():
    whole = soak()
    assert (whole.load.tasks, len(whole.faults(1)), len(whole.seeds)) == (100_000, 50, 10)
    assert "100000 tasks" in describe(whole)
    assert "10 of 'kill broker'" in describe(whole)


def test_one_lost_task_in_one_of_three_runs_is_not_made_good_by_the_others(runs):
    runs.update({1: GOOD, 2: LOST, 3: GOOD})
    lost = next(figure for figure in soak_figures(series([1, 2, 3])) if figure.name == "soak_lost")
    assert (lost.values, lost.value, lost.reached) == ((0, 1, 0), 1, "no")


def test_runs_without_a_loss_reach_the_aim_and_the_slowest_recovery_counts(runs):
    runs.update({1: GOOD, 2: GOOD, 3: GOOD})
    figures = {figure.name: figure for figure in soak_figures(series([1, 2, 3]))}
    assert [figures[name].reached for name in ("soak_lost", "soak_out_of_order", "soak_other_anomalies")] == ["aim"] * 3
    assert figures["soak_recovery"].value == 3.0


def test_duplicates_are_counted_per_task_in_crash_runs_and_forbidden_in_restarts(runs):
    runs.update({1: TWICE})
    duplicates = next(figure for figure in crash_figures(series([1])) if figure.name == "crash_runs_duplicates")
    assert (duplicates.value, duplicates.reached) == (0.25, "no")
    [restarts] = restart_figures(series([1]))
    assert (restarts.value, restarts.reached) == (1, "no")


def test_the_soak_runs_only_when_it_is_named(monkeypatch):
    called = []
    monkeypatch.setattr(command, "BENCHMARKS", {"quick": lambda: called.append("quick") or []})
    monkeypatch.setattr(command, "ON_REQUEST", {"soak": lambda: called.append("soak") or []})
    monkeypatch.setattr(command.report, "write", lambda: None)
    command.main([])
    assert called == ["quick"]
    command.main(["soak"])
    assert called == ["quick", "soak"]
    with pytest.raises(SystemExit, match="quick, soak"):
        command.main(["nothing"])
