"""Tasks done past a slow one: whether a worker is as fast at the end as at the beginning, and what a commit costs."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Iterator
from uuid import uuid4

from benchmarks.figure import Figure, measured
from benchmarks.rivals import LONGEST
from labkit.lab import Lab
from labkit.measure.task_record import TaskRecord
from labkit.taskqueue import Producer, Task, Topic, connect, new_task
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.partition_state import PartitionState
from labkit.taskqueue.engine.worker_config import WorkerConfig
from labkit.taskqueue.transport.contract import Position, TopicPartition
from labkit.taskqueue.worker_group.worker import Worker

TASKS = 200_000
REPEATS = 5
#: How many parts the run is divided into; the first is left out, in which the client fills its buffers.
PARTS = 10
#: So many tasks are done past a slow one when the commit is measured.
FAR = 3_000_000


def measure() -> Iterator[Figure]:
    """The rate in the last part of the run against that in the second."""
    with (
        Lab() as lab,
        connect(lab, transport="confluent-kafka") as topics,
        topics.fresh(f"slow-{uuid4().hex}", partitions=1) as topic,
    ):
        with Producer(topic) as producer:
            producer.send_many([new_task("slow"), *(new_task("quick", "x" * 100) for _ in range(TASKS))])
        runs = [_moments(topic) for _ in range(REPEATS)]
    rates = [_rates(moments) for moments, _ in runs]
    rates_by_cpu = [_rates(cpu_moments) for _, cpu_moments in runs]
    commits = [_commit_seconds() for _ in range(REPEATS)]
    yield measured(
        "slow_task",
        f"{TASKS} tasks past one slow task: rate at the end against the beginning",
        [last / first for first, last in rates],
        unit="share",
        better="higher",
        at_least=0.90,
        aim=0.98,
        how=f"{TASKS} empty tasks with a payload of 100 characters on 1 partition over confluent-kafka, behind one "
        "that does not end: `order='none'`, 2 threads, a new group. The tasks are divided into "
        f"{PARTS} parts by the order in which they are done; the rate in the last part against that in the second.",
        rival="labkit itself, at the beginning of the same run.",
        beside={
            "tasks/s at the beginning": statistics.median(first for first, _ in rates),
            "tasks/s at the end": statistics.median(last for _, last in rates),
            "the same by the CPU time of the process instead of the clock": statistics.median(
                last / first for first, last in rates_by_cpu
            ),
            f"what a commit is made of, with {FAR} tasks done past a slow one, in seconds": statistics.median(commits),
        },
    )


def _moments(topic: Topic) -> tuple[list[float], list[float]]:
    """When each of the quick tasks was done, in seconds: by the clock, and by the CPU time of this process."""
    moments: list[float] = []
    cpu_moments: list[float] = []
    done, may_end = threading.Event(), threading.Event()

    def handler(task: Task) -> None:
        if task.kind == "slow":
            may_end.wait(LONGEST)

    def keep(record: TaskRecord) -> None:
        moments.append(time.perf_counter())
        cpu_moments.append(time.process_time())
        if len(moments) == TASKS:
            done.set()

    worker = Worker(
        topic,
        name="worker-1",
        group=uuid4().hex,
        work=Work(handler),
        config=WorkerConfig(order="none", concurrency=2),
        on_record=keep,
    )
    thread = threading.Thread(target=worker.run)
    gc.collect()
    thread.start()
    in_time = done.wait(LONGEST)
    may_end.set()
    worker.stop()
    thread.join()
    if not in_time:
        raise RuntimeError(f"{len(moments)} of {TASKS} tasks were done within {LONGEST:g} s")
    return moments[:TASKS], cpu_moments[:TASKS]


def _rates(moments: list[float]) -> tuple[float, float]:
    """Tasks per second in the second part and in the last."""
    part = len(moments) // PARTS
    return part / (moments[2 * part] - moments[part]), part / (moments[-1] - moments[-1 - part])


def _commit_seconds() -> float:
    """How long it takes to make what is committed, far past a slow task."""
    state = PartitionState(TopicPartition("t", 0), Position(0), topic_id=str(uuid4()), suspects=0)
    state.tracker.receive(0)
    for offset in range(1, FAR + 1):
        state.tracker.receive(offset)
        state.tracker.finish(offset)
    started = time.perf_counter()
    state.position()
    return time.perf_counter() - started
