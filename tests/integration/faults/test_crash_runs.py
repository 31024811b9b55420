"""Workers and brokers are killed in the middle of the work: nothing is lost, and little is done twice."""

from __future__ import annotations

import pytest

from labkit.faults.nemesis import FaultName
from labkit.faults.runs import Load, run_under_faults
from labkit.lab import Lab
from labkit.taskqueue import uniform
from labkit.taskqueue.engine.config import WorkerConfig

TASKS, WORKERS, KILLS = 10_000, 3, 15
CRASH_LOAD = Load(tasks=TASKS, service=uniform(5, 15), workers=WORKERS, concurrency=4)
#: Of the tasks, in the runs with kills.
DUPLICATES_AT_MOST = 0.05


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_lost_when_workers_are_killed_and_little_is_done_twice(lab, seed):
    run = run_under_faults(lab, CRASH_LOAD, ["kill worker"] * KILLS, seed=seed)
    print(run.verdict, f"{run.seconds:.1f} s", f"recovery {run.recovery:.1f} s")
    assert run.ok, run.verdict
    assert run.lost == 0
    assert run.verdict.tasks == TASKS
    assert run.in_vain == 0
    assert run.records["worker"].nunique() > WORKERS  # those who came in the place of the killed have worked
    assert run.duplicates <= min(WORKERS * WorkerConfig().max_in_flight * KILLS, DUPLICATES_AT_MOST * TASKS)


def test_nothing_is_done_twice_when_workers_are_replaced_one_by_one(lab):
    load = Load(tasks=3_000, service=uniform(50, 150), workers=WORKERS, concurrency=4)
    run = run_under_faults(lab, load, ["replace worker"] * 15, seed=1)
    print(run.verdict, f"{run.seconds:.1f} s")
    assert run.verdict.ok(allow=()), run.verdict
    assert len(run.records) == run.verdict.tasks == load.tasks
    assert run.in_vain == 0
    assert run.records["worker"].nunique() > WORKERS


def test_nothing_is_lost_when_workers_and_the_broker_fail_by_turns():
    faults: list[FaultName] = ["kill worker", "kill broker", "freeze worker", "replace worker"]
    load = Load(tasks=2_000, service=uniform(50, 150), workers=WORKERS, concurrency=4)
    with Lab() as of_its_own:
        run = run_under_faults(of_its_own, load, faults, seed=1)
    print(run.verdict, f"{run.seconds:.1f} s", f"recovery {run.recovery:.1f} s")
    assert run.ok, run.verdict
    assert run.verdict.tasks == load.tasks
    assert run.in_vain == 0
