"""Empty tasks per second, against Celery and Dramatiq on Redis: one worker process each."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

from benchmarks.figure import Figure, alternate, measured, ratios
from benchmarks.handlers import nothing
from benchmarks.redis_rivals import CELERY, DRAMATIQ, Rival, fastest_threads, rate
from benchmarks.shift import HOW, work_off
from labkit.lab import Lab
from labkit.settings import TransportName
from labkit.taskqueue import Producer, Topic, connect, new_task
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.worker_config import WorkerConfig

REPEATS = 5
#: Tasks per run: some seconds of each.
TASKS: dict[TransportName, int] = {"kafka-python": 40_000, "confluent-kafka": 100_000}
RIVAL_TASKS = {CELERY: 5_000, DRAMATIQ: 15_000}
#: Of a rival's tasks, how many are done with each number of threads to find the best.
TUNING_SHARE = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What is demanded against one rival."""

    at_least: float
    aim: float


BOUNDS: dict[TransportName, dict[Rival, Bounds]] = {
    "kafka-python": {CELERY: Bounds(at_least=5, aim=12), DRAMATIQ: Bounds(at_least=1.5, aim=4)},
    "confluent-kafka": {CELERY: Bounds(at_least=10, aim=40), DRAMATIQ: Bounds(at_least=3, aim=10)},
}


def measure() -> Iterator[Figure]:
    """One figure per transport and rival; all are run in turn."""
    with Lab() as lab:
        threads = {
            rival: fastest_threads(rival, lab.redis_url, int(tasks * TUNING_SHARE))
            for rival, tasks in RIVAL_TASKS.items()
        }
        for rival in RIVAL_TASKS:
            print(f"  {rival.name}: {settings(rival, threads[rival])}", flush=True)
        for transport in BOUNDS:
            yield from _compare(lab, transport, threads)


def settings(rival: Rival, threads: int) -> dict[str, object]:
    """What the rival is run with."""
    return {**rival.settings, "threads": f"{threads}, the fastest of {rival.threads}"}


def _compare(lab: Lab, transport: TransportName, threads: dict[Rival, int]) -> Iterator[Figure]:
    tasks = TASKS[transport]
    with connect(lab, transport=transport) as topics, topics.fresh(f"queues-{uuid4().hex}", partitions=1) as topic:
        quick = connect(lab, transport="confluent-kafka").transport
        with Producer(replace(topic, transport=quick)) as producer:
            producer.send_many(new_task("nothing") for _ in range(tasks))
        ours, *theirs = alternate(
            lambda: _ours(topic, tasks),
            *(partial(rate, rival, lab.redis_url, count, threads[rival]) for rival, count in RIVAL_TASKS.items()),
            repeats=REPEATS,
        )
    for rival, rates in zip(RIVAL_TASKS, theirs, strict=True):
        bounds = BOUNDS[transport][rival]
        yield measured(
            f"queues_{transport}_{rival.name.lower()}",
            f"empty tasks per second against {rival.name} on Redis ({transport})",
            ratios(ours, rates),
            unit="x",
            better="higher",
            at_least=bounds.at_least,
            aim=bounds.aim,
            how=f"{tasks} empty tasks on 1 partition over {transport}, under labkit's defaults: in the order of the "
            f"partition, one at a time. {HOW}",
            rival=f"{rival.name}: {RIVAL_TASKS[rival]} empty tasks in the lab's own Redis over its unix socket, one "
            "worker process, from the first task's call to the last one's; its start is not counted.",
            rival_settings=settings(rival, threads[rival]),
            beside={"labkit in tasks/s": statistics.median(ours), "the rival in tasks/s": statistics.median(rates)},
        )


def _ours(topic: Topic, tasks: int) -> float:
    return tasks / work_off(topic, tasks, Work(nothing), WorkerConfig()).seconds
