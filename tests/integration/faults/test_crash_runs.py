"""Workers are killed in the middle of the work: nothing is lost, and little is done twice."""

from __future__ import annotations

from labkit.faults.worker_run import WorkerLoad, run_under_faults
from labkit.taskqueue import uniform
from labkit.taskqueue.engine.worker_config import WorkerConfig

#: One short run; `benchmarks/crashes.py` makes long ones with several seeds.
TASKS, WORKERS, KILLS = 3_000, 3, 5
CRASH_LOAD = WorkerLoad(tasks=TASKS, service=uniform(0.005, 0.015), workers=WORKERS, concurrency=4)
#: Of the tasks, in the runs with kills.
DUPLICATES_AT_MOST = 0.05


def test_nothing_is_lost_when_workers_are_killed_and_little_is_done_twice(lab):
    run = run_under_faults(lab, CRASH_LOAD, ["kill worker"] * KILLS, seed=1)
    print(run.verdict, f"{run.seconds:.1f} s", f"recovery {run.recovery:.1f} s")
    assert run.ok, run.verdict
    assert run.lost == 0
    assert run.verdict.tasks == TASKS
    assert run.in_vain == 0
    assert run.records["worker"].nunique() > WORKERS  # those who came in the place of the killed have worked
    assert run.duplicates <= min(WORKERS * WorkerConfig().max_in_flight * KILLS, DUPLICATES_AT_MOST * TASKS)
