"""Workers are replaced one by one, and workers and the broker fail by turns: nothing is lost."""

from __future__ import annotations

import pytest

from labkit.faults.nemesis import FaultName
from labkit.faults.worker_run import WorkerLoad, run_under_faults
from labkit.lab import Lab
from labkit.taskqueue import uniform

WORKERS = 3


@pytest.mark.long
def test_nothing_is_done_twice_when_workers_are_replaced_one_by_one(lab):
    load = WorkerLoad(tasks=900, service=uniform(0.05, 0.15), workers=WORKERS, concurrency=4)
    run = run_under_faults(lab, load, ["replace worker"] * 4, seed=1)
    print(run.verdict, f"{run.seconds:.1f} s")
    assert run.verdict.ok(allow=()), run.verdict
    assert len(run.records) == run.verdict.tasks == load.tasks
    assert run.in_vain == 0
    assert run.records["worker"].nunique() > WORKERS


@pytest.mark.long
def test_nothing_is_lost_when_workers_and_the_broker_fail_by_turns():
    faults: list[FaultName] = ["kill worker", "kill broker", "freeze worker", "replace worker"]
    load = WorkerLoad(tasks=1_200, service=uniform(0.05, 0.15), workers=WORKERS, concurrency=4)
    with Lab() as of_its_own:
        run = run_under_faults(of_its_own, load, faults, seed=1)
    print(run.verdict, f"{run.seconds:.1f} s", f"recovery {run.recovery:.1f} s")
    assert run.ok, run.verdict
    assert run.verdict.tasks == load.tasks
    assert run.in_vain == 0
