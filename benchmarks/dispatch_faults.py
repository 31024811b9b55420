"""Dispatchers and bridges under faults: they, Celery's workers and Redis are killed in the middle of the work.

`python -m benchmarks.dispatch_faults --tasks 1000 --faults 4 --seeds 1` tries a small one, and keeps nothing of it.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.figure import Figure, never
from benchmarks.report import number
from labkit.faults.deployment import REDIS_AWAY, DispatchFault
from labkit.faults.dispatch_run import DispatchRun, dispatch_under_faults
from labkit.faults.testbed import ODD_ONE, DispatchLoad
from labkit.lab import Lab

#: Of ten faults, so many of each.
MIXTURE: dict[DispatchFault, int] = {"kill celery worker": 4, "kill dispatcher": 3, "kill redis": 3}

#: The priority dispatcher, two of which share the work, and the bridge.
LOADS = {
    "dispatcher": DispatchLoad(tasks=5_000, seconds=0.03, dispatchers=2),
    "bridge": DispatchLoad(tasks=5_000, seconds=0.03, classes=()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is done: so many tasks, so many faults, with each of the seeds."""

    tasks: int = 5_000
    faults: int = 10
    seeds: Sequence[int] = (1, 2, 3)


def mixed_faults(count: int, seed: int) -> list[DispatchFault]:
    """`count` faults in the proportions of `MIXTURE`, in an order drawn from the seed."""
    shares = [fault for fault, share in MIXTURE.items() for _ in range(share)]
    faults = [shares[index * len(shares) // count % len(shares)] for index in range(count)]
    random.Random(seed).shuffle(faults)
    return faults


def measure(size: Size | None = None) -> Iterator[Figure]:
    """Both, with three seeds each, each on a lab of its own: about ten minutes."""
    size = size or Size()
    for name, whole in LOADS.items():
        load = replace(whole, tasks=size.tasks)
        runs = [_run(name, load, mixed_faults(size.faults, seed), seed) for seed in size.seeds]
        how = _describe(load, mixed_faults(size.faults, 1))
        yield never(
            f"{name}_faults_lost", f"{name} under faults: tasks lost", [run.lost for run in runs], unit="tasks", how=how
        )
        yield never(
            f"{name}_faults_double_effects",
            f"{name} under faults: effects had twice",
            [run.double_effects for run in runs],
            unit="tasks",
            how=how,
            beside={
                "the longest run in s": max(run.seconds for run in runs),
                "anomalies that at least once does not allow": sum(not run.ok for run in runs),
                "faults of all runs that struck when no task was left": sum(run.in_vain for run in runs),
            },
        )


def _run(name: str, load: DispatchLoad, faults: Sequence[DispatchFault], seed: int) -> DispatchRun:
    with Lab() as lab:
        run = dispatch_under_faults(lab, load, faults, seed=seed)
    print(
        f"  {name}, seed {seed}: {'ok' if run.ok else run.verdicts}; lost {run.lost}, double effects "
        f"{run.double_effects}, dead letters {run.dead}, {run.seconds:.0f} s, "
        f"faults after the last task: {run.in_vain}",
        flush=True,
    )
    return run


def _describe(load: DispatchLoad, faults: Sequence[DispatchFault]) -> str:
    who = f"{load.dispatchers} dispatchers with the policy {load.policy!r}" if load.classes else "one bridge"
    kinds = ", ".join(f"{faults.count(fault)} of {fault!r}" for fault in MIXTURE if fault in faults)
    return (
        f"{load.tasks} tasks of {load.seconds * 1000:g} ms, one of {ODD_ONE // 2} to become a dead letter; {who}, "
        f"Celery workers {' and '.join(load.pools)} with {load.concurrency} tasks each at once, and a visibility "
        f"timeout of {load.visibility_timeout:g} s; {len(faults)} faults by SIGKILL at equal shares of the work: "
        f"{kinds}. Redis is away for {REDIS_AWAY:g} s each time. Effects are rows in SQLite, added in one transaction "
        "with the mark of `once_in`; the checker's verdict counts. Each run has a lab of its own."
    )


def main() -> None:
    """Runs of the size asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dispatch_faults", description="Runs of any size.")
    parser.add_argument("--tasks", type=int, default=1_000)
    parser.add_argument("--faults", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    for figure in measure(Size(tasks=asked.tasks, faults=asked.faults, seeds=range(1, asked.seeds + 1))):
        print(f"  {figure.what}: {number(figure.value, figure.unit)}, reached: {figure.reached or '-'}")


if __name__ == "__main__":
    main()
