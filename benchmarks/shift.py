"""One worker's shift: it joins a new group, works off what is on a topic, and leaves."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from benchmarks.rivals import LONGEST
from labkit.measure.task_record import TaskRecord
from labkit.taskqueue import Topic
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.worker_config import WorkerConfig
from labkit.taskqueue.worker_group.worker import Worker
from labkit.taskqueue.worker_group.worker_process import SWITCH_INTERVAL

#: What the figures say of it.
HOW = (
    "One worker in a thread of the benchmark's process, where threads take turns as in a worker process of labkit "
    f"(`sys.setswitchinterval({SWITCH_INTERVAL:g})`), in a new group; from the assignment of the partitions to the "
    "last task: fetching, decoding, a record of every attempt and the commits included. Joining the group is not."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What was done. `seconds`: from the assignment of the partitions to the last task."""

    seconds: float
    records: list[TaskRecord]


def work_off(topic: Topic, tasks: int, work: Work, config: WorkerConfig) -> Shift:
    """Work on the topic from its beginning until `tasks` attempts are over; RuntimeError if it takes too long."""
    records: list[TaskRecord] = []
    assigned: list[float] = []
    finished: list[float] = []
    done = threading.Event()

    def keep(record: TaskRecord) -> None:
        records.append(record)
        if len(records) >= tasks:
            finished.append(time.perf_counter())
            done.set()

    worker = Worker(
        topic,
        name="worker-1",
        group=uuid4().hex,
        work=work,
        config=config,
        on_record=keep,
        on_assignment=lambda partitions: assigned.append(time.perf_counter()),
    )
    thread = threading.Thread(target=worker.run)
    gc.collect()
    with _turns_as_in_a_worker_process():
        thread.start()
        in_time = done.wait(LONGEST)
        worker.stop()
        thread.join()
    if not in_time:
        raise RuntimeError(f"{len(records)} of {tasks} tasks were done within {LONGEST:g} s")
    return Shift(seconds=finished[0] - assigned[0], records=records)


@contextmanager
def _turns_as_in_a_worker_process() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
