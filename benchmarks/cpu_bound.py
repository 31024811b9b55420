"""Work that keeps a CPU busy, in two processes, against a plain loop."""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import get_args
from uuid import uuid4

from benchmarks.figure import Figure, alternate, measured, ratios
from benchmarks.handlers import count_up
from benchmarks.shell import ROOT
from benchmarks.shift import work_off
from labkit.lab import Lab
from labkit.settings import TransportName
from labkit.taskqueue import Producer, Topic, connect, new_task
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.worker_config import WorkerConfig
from labkit.taskqueue.task import Task

#: Many short runs by turns, since a machine's clock speed may drift by more within a long one than is measured here.
REPEATS = 15
TASKS = 200
#: Rounds of the handler per task: some 20 ms.
ROUNDS = 400_000
PROCESSES = 2
#: The plain loop as a program, which says how long it took.
LOOP = (
    "import sys; from benchmarks import cpu_bound; print(cpu_bound.plain_loop(cpu_bound.some_tasks(int(sys.argv[1]))))"
)


def measure() -> Iterator[Figure]:
    """One figure per transport: what the client library itself takes is lost to the handlers."""
    with Lab() as lab:
        for transport in get_args(TransportName):
            yield _compare(lab, transport)


def _compare(lab: Lab, transport: TransportName) -> Figure:
    tasks = some_tasks(TASKS)
    config = WorkerConfig(order="none", executor="processes", concurrency=PROCESSES)
    with (
        connect(lab, transport=transport) as topics,
        topics.fresh(f"cpu-bound-{uuid4().hex}", partitions=1) as topic,
    ):
        with Producer(topic) as producer:
            producer.send_many([*(new_task("count_up", 0) for _ in range(PROCESSES)), *tasks])
        loop, ours, halves = alternate(
            lambda: plain_loop(tasks),
            lambda: _ours(topic, config),
            _loops_side_by_side,
            repeats=REPEATS,
        )
    return measured(
        f"cpu_bound_processes_{transport}",
        f"tasks that keep a CPU busy, in {PROCESSES} processes, against a plain loop ({transport})",
        ratios(loop, ours),
        unit="x",
        better="higher",
        at_least=1.7,
        aim=1.9,
        how=f"{TASKS} tasks, `executor='processes'`, `concurrency={PROCESSES}`, no order. From the moment when the "
        "first process has done an empty task, sent ahead, to the last task: fetching, decoding, handing over to "
        "the processes, a record of every attempt and the commits included.",
        rival="a plain loop over the same tasks in one process: the handler's call and nothing else.",
        rival_settings={"rounds of the handler per task": ROUNDS, "cores": os.cpu_count()},
        beside={
            "the plain loop in s": statistics.median(loop),
            "labkit in s": statistics.median(ours),
            "two plain loops side by side, each over half of the tasks, against the plain loop: what the machine "
            "has to give": statistics.median(ratios(loop, halves)),
        },
    )


def some_tasks(count: int) -> list[Task]:
    """Tasks for `count_up`."""
    return [new_task("count_up", ROUNDS) for _ in range(count)]


def plain_loop(tasks: Sequence[Task]) -> float:
    """Seconds for one task after the other, without a queue."""
    gc.collect()
    began = time.perf_counter()
    for task in tasks:
        count_up(task)
    return time.perf_counter() - began


def _ours(topic: Topic, config: WorkerConfig) -> float:
    records = work_off(topic, PROCESSES + TASKS, Work(count_up), config).records
    finished = [record.finished_at for record in records]
    return max(finished) - min(finished)


def _loops_side_by_side() -> float:
    command = [sys.executable, "-c", LOOP, str(TASKS // PROCESSES)]
    loops = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
        for _ in range(PROCESSES)
    ]
    return max(float(loop.communicate()[0]) for loop in loops)
