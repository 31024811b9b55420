"""The memory of one worker process after many tasks against after few."""

from __future__ import annotations

from uuid import uuid4

import psutil

from benchmarks.figure import Figure, measured
from labkit.lab import Lab
from labkit.taskqueue import Producer, Topic, WorkerGroup, connect, new_task
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.worker_group.membership import Membership

REPEATS = 3
TASKS = 1_000_000
#: How often the memory is looked at, in tasks.
LOOK = 10_000
#: Sent at a time, so that before the first look as much has been queued and fetched ahead at once as before the last.
BATCH = 1_000
#: How long a batch may take, in seconds.
LONGEST = 120.0


def measure() -> list[Figure]:
    """The figure."""
    with Lab() as lab:
        runs = [_run(lab) for _ in range(REPEATS)]
    return [
        measured(
            "endurance_memory",
            f"memory of a worker process after {TASKS:,} tasks over that after {LOOK:,}".replace(",", " "),
            [sizes[-1] / sizes[0] - 1 for sizes in runs],
            unit="share",
            better="lower",
            at_least=0.05,
            aim=0.01,
            how=f"Resident memory of one worker in a process of its own (as `labkit work --processes` starts it), "
            f"empty tasks over confluent-kafka, {BATCH} sent at a time; when the tasks so far are done and committed. "
            "The process that started it is not measured.",
            beside={
                f"after {LOOK} tasks in MB (last run)": runs[-1][0] / 1e6,
                f"after {TASKS} tasks in MB (last run)": runs[-1][-1] / 1e6,
                "the most in between in MB (last run)": max(runs[-1]) / 1e6,
            },
            judged="worst",
        )
    ]


def _run(lab: Lab) -> list[int]:
    """Resident memory after every `LOOK` tasks, in bytes."""
    with (
        connect(lab, transport="confluent-kafka") as topics,
        topics.fresh(f"endurance-{uuid4().hex}", partitions=1) as topic,
        WorkerGroup(topic, membership=Membership(processes=True)) as group,
        Producer(topic) as producer,
    ):
        worker = worker_process()
        return [_after_some_more(topic, group, producer, worker) for _ in range(TASKS // LOOK)]


def _after_some_more(topic: Topic, group: WorkerGroup, producer: Producer, worker: psutil.Process) -> int:
    for _ in range(LOOK // BATCH):
        _work_off_a_batch(topic, group, producer)
    wait_until(
        lambda: all(partition.lag == 0 for partition in group.lag()),
        timeout=LONGEST,
        what=f"the tasks on {topic.name!r} were to be committed",
    )
    return int(worker.memory_info().rss)


def _work_off_a_batch(topic: Topic, group: WorkerGroup, producer: Producer) -> None:
    so_far = group.attempts()
    producer.send_many(new_task("nothing") for _ in range(BATCH))
    wait_until(
        lambda: group.attempts() >= so_far + BATCH,
        timeout=LONGEST,
        what=f"{BATCH} tasks on {topic.name!r} were to be done",
    )


def worker_process() -> psutil.Process:
    children = psutil.Process().children()
    [worker] = [child for child in children if "labkit.taskqueue.worker_group.worker_process" in child.cmdline()]
    return worker
