"""Runs under faults: workers and brokers are killed, frozen and replaced in the middle of the work.

`python -m benchmarks.crashes --tasks 5000 --faults 8 --seeds 1` tries a small soak, and keeps nothing of it.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.figure import Figure, measured, never
from benchmarks.report import number
from labkit.faults.nemesis import FROZEN_SESSIONS, FaultName
from labkit.faults.verdict import DUPLICATE, LOST, OUT_OF_ORDER
from labkit.faults.worker_run import FaultRun, WorkerLoad, run_under_faults
from labkit.lab import Lab
from labkit.taskqueue import uniform

#: A mixed run: so many of each among ten.
MIXTURE: dict[FaultName, int] = {"kill worker": 4, "freeze worker": 2, "replace worker": 2, "kill broker": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The same run with one seed after the other, each on a lab of its own."""

    name: str
    load: WorkerLoad
    faults: Callable[[int], Sequence[FaultName]]
    seeds: Sequence[int]


def mixed_faults(count: int, seed: int) -> list[FaultName]:
    """`count` faults in the proportions of `MIXTURE`, in an order drawn from the seed."""
    shares = [fault for fault, share in MIXTURE.items() for _ in range(share)]
    faults = [shares[index * len(shares) // count % len(shares)] for index in range(count)]
    random.Random(seed).shuffle(faults)
    return faults


def soak(*, tasks: int = 100_000, faults: int = 50, seeds: int = 10) -> Series:
    """The long run, with all kinds of faults. The tasks take so long that there is work left at the last fault.

    Four partitions per worker: with four for three workers, whoever has two would be left with them at the end, and
    its work would look like slow recovery.
    """
    load = WorkerLoad(tasks=tasks, service=uniform(0.01, 0.05), partitions=12)
    return Series(name="soak", load=load, faults=lambda seed: mixed_faults(faults, seed), seeds=range(1, seeds + 1))


def crash_runs() -> Series:
    """Worker processes are killed; `make test` has a short one of these."""
    load = WorkerLoad(tasks=10_000, service=uniform(0.005, 0.015), concurrency=4)
    return Series(name="crash runs", load=load, faults=lambda seed: ["kill worker"] * 15, seeds=(1, 2, 3))


def restarts() -> Series:
    """Workers are asked to stop, and replaced, one after the other, which takes a second or two each."""
    load = WorkerLoad(tasks=4_000, service=uniform(0.05, 0.15), concurrency=4)
    return Series(name="restarts", load=load, faults=lambda seed: ["replace worker"] * 15, seeds=(1, 2, 3))


def measure() -> Iterator[Figure]:
    """Restarts, crash runs and the soak: well over half an hour."""
    yield from restart_figures(restarts())
    yield from crash_figures(crash_runs())
    yield from soak_figures(soak())


def restart_figures(series: Series) -> Iterator[Figure]:
    """Clean stops repeat nothing."""
    runs = run_all(series)
    what = "tasks done twice in rolling restarts under load"
    yield never("clean_stops_duplicates", what, _duplicates(runs), unit="tasks", how=describe(series))


def crash_figures(series: Series) -> Iterator[Figure]:
    """Kills lose nothing, and repeat little."""
    runs = run_all(series)
    what = "tasks lost when worker processes are killed"
    yield never("crash_runs_lost", what, _count(runs, LOST), unit="tasks", how=describe(series))
    yield measured(
        "crash_runs_duplicates",
        "tasks done twice when worker processes are killed",
        [run.duplicates / run.load.tasks for run in runs],
        unit="share",
        better="lower",
        at_least=0.015,
        aim=0.005,
        how=describe(series),
        judged="worst",
    )


def soak_figures(series: Series) -> Iterator[Figure]:
    """What the soak demands."""
    runs = run_all(series)
    for name, what, counts in (
        ("soak_lost", "tasks lost", _count(runs, LOST)),
        ("soak_out_of_order", "tasks out of order within a key, outside a redelivery", _count(runs, OUT_OF_ORDER)),
        ("soak_other_anomalies", "other anomalies that at least once does not allow", _others(runs)),
    ):
        yield never(name, f"soak: {what}", counts, unit="tasks", how=describe(series))
    yield measured(
        "soak_recovery",
        "soak: from the last fault to an empty queue, beyond the work itself",
        [run.recovery for run in runs],
        unit="s",
        better="lower",
        at_least=25,
        aim=15,
        how=f"{describe(series)} What was left to do at the last fault, at full speed of all workers, is subtracted.",
        beside={
            "the longest run in s": max(run.seconds for run in runs),
            "faults of all runs that struck when no task was left": sum(run.in_vain for run in runs),
        },
        judged="worst",
    )
    yield measured(
        "soak_duplicates",
        "soak: tasks done twice",
        [run.duplicates / run.load.tasks for run in runs],
        unit="share",
        better="lower",
        at_least=0.05,
        aim=0.01,
        how=describe(series),
        judged="worst",
    )


def run_all(series: Series) -> list[FaultRun]:
    """One run per seed; says how each went. The verdict of a run that went wrong is printed whole."""
    return [_run(series, seed) for seed in series.seeds]


def describe(series: Series) -> str:
    """What a run of the series is."""
    load, faults = series.load, series.faults(1)
    kinds = ", ".join(f"{faults.count(fault)} of {fault!r}" for fault in MIXTURE if fault in faults)
    frozen = f" Frozen is for {FROZEN_SESSIONS * load.session_timeout:g} s." if "freeze worker" in faults else ""
    return (
        f"{load.tasks} tasks of {load.service} s with {load.keys} keys on {load.partitions} partitions, in the order "
        f"of keys, over kafka-python; {load.workers} worker processes with {load.concurrency} threads each and a "
        f"session of {load.session_timeout:g} s; {len(faults)} faults at equal shares of the work: {kinds}.{frozen} "
        "Each run has a lab and a seed of its own; the checker's verdict counts."
    )


def _run(series: Series, seed: int) -> FaultRun:
    with Lab() as lab:
        run = run_under_faults(lab, series.load, series.faults(seed), seed=seed)
    print(
        f"  {series.name}, seed {seed}: {'ok' if run.ok else run.verdict}; lost {run.lost}, "
        f"done twice {run.duplicates} ({number(run.duplicates / run.load.tasks, 'share')}), "
        f"{run.seconds:.0f} s, recovery {run.recovery:.1f} s, faults after the last task: {run.in_vain}",
        flush=True,
    )
    return run


def _count(runs: Sequence[FaultRun], anomaly: str) -> list[int]:
    return [run.verdict.counts[anomaly] for run in runs]


def _duplicates(runs: Sequence[FaultRun]) -> list[int]:
    return [run.duplicates for run in runs]


def _others(runs: Sequence[FaultRun]) -> list[int]:
    """Anomalies but those with a figure of their own."""
    known = {LOST, OUT_OF_ORDER, DUPLICATE}
    return [sum(count for name, count in run.verdict.counts.items() if name not in known) for run in runs]


def main() -> None:
    """A soak of the size asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crashes", description="A soak of any size.")
    parser.add_argument("--tasks", type=int, default=5_000)
    parser.add_argument("--faults", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    for figure in soak_figures(soak(tasks=asked.tasks, faults=asked.faults, seeds=asked.seeds)):
        print(f"  {figure.what}: {number(figure.value, figure.unit)}, reached: {figure.reached or '-'}")


if __name__ == "__main__":
    main()
