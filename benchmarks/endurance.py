"""The memory of one worker process after many tasks against after few."""

from __future__ import annotations

from uuid import uuid4

import psutil

from benchmarks.figure import Figure, measured
from labkit.lab import Lab
from labkit.taskqueue import Producer, Topic, WorkerGroup, connect, new_task
from labkit.taskqueue.waiting import wait_until

REPEATS = 3
TASKS = 1_000_000
#: Sent at a time, so that as much is queued and fetched ahead at the first look as at the last.
BATCH = 10_000
#: How long a batch may take, in seconds.
LONGEST = 120.0


def measure() -> list[Figure]:
    """The figure."""
    with Lab() as lab:
        runs = [_run(lab) for _ in range(REPEATS)]
    return [
        measured(
            "endurance_memory",
            f"memory of a worker process after {TASKS:,} tasks over that after {BATCH:,}".replace(",", " "),
            [sizes[-1] / sizes[0] - 1 for sizes in runs],
            unit="share",
            better="lower",
            at_least=0.05,
            aim=0.01,
            how=f"Resident memory of one worker in a process of its own (as `labkit work --processes` starts it), "
            f"empty tasks over confluent-kafka, {BATCH} at a time: after each batch, when all of it is done. The "
            "process that started it keeps a record of every task and is not measured.",
            beside={
                f"after {BATCH} tasks in MB (last run)": runs[-1][0] / 1e6,
                f"after {TASKS} tasks in MB (last run)": runs[-1][-1] / 1e6,
                "the most after any batch in MB (last run)": max(runs[-1]) / 1e6,
            },
            judged="worst",
        )
    ]


def _run(lab: Lab) -> list[int]:
    """Resident memory after each batch, in bytes."""
    with (
        connect(lab, transport="confluent-kafka") as topics,
        topics.fresh(f"endurance-{uuid4().hex}", partitions=1) as topic,
        WorkerGroup(topic, processes=True) as group,
        Producer(topic) as producer,
    ):
        worker = _worker_process()
        return [_after_a_batch(topic, group, producer, worker) for _ in range(TASKS // BATCH)]


def _after_a_batch(topic: Topic, group: WorkerGroup, producer: Producer, worker: psutil.Process) -> int:
    so_far = group.attempts()
    producer.send_many(new_task("nothing") for _ in range(BATCH))
    wait_until(
        lambda: group.attempts() >= so_far + BATCH,
        timeout=LONGEST,
        what=f"{BATCH} tasks on {topic.name!r} were to be done",
    )
    return int(worker.memory_info().rss)


def _worker_process() -> psutil.Process:
    children = psutil.Process().children()
    [worker] = [child for child in children if "labkit.taskqueue.process" in child.cmdline()]
    return worker
