"""The memory of whoever has a worker group, and of its worker, in an hour of steady load."""

from __future__ import annotations

import tempfile
import threading
from itertools import repeat
from pathlib import Path
from uuid import uuid4

import psutil

from benchmarks.endurance import worker_process
from benchmarks.figure import Figure, measured
from labkit.lab import Lab
from labkit.taskqueue import Producer, WorkerGroup, connect, new_task
from labkit.taskqueue.arrivals import constant
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.worker_group.group_output import Output
from labkit.taskqueue.worker_group.membership import Membership

RATE = 500.0
#: How long it runs, and from when on its memory counts, in seconds.
SECONDS, SETTLED = 3600.0, 300.0
#: How often the memory is looked at, in seconds.
LOOK = 30.0


def measure() -> list[Figure]:
    """The figures of both processes."""
    sizes, failed, left = _run()
    first = int(SETTLED / LOOK)
    return [
        measured(
            f"hour_memory_{name}",
            f"memory of {what} after an hour at {RATE:g} tasks/s over that after five minutes",
            [series[-1] / series[first - 1] - 1],
            unit="share",
            better="lower",
            at_least=0.05,
            aim=0.01,
            how=f"Resident memory, one run of {SECONDS:g} s, empty tasks at {RATE:g}/s over confluent-kafka, one "
            f"worker in a process of its own, records written to Parquet as they come, looked at every {LOOK:g} s.",
            beside={
                "after five minutes in MB": series[first - 1] / 1e6,
                "at the end in MB": series[-1] / 1e6,
                "the most from five minutes on in MB": max(series[first - 1 :]) / 1e6,
                "tasks not acknowledged": failed,
                "tasks left at the end": left,
            },
        )
        for name, what, series in (
            ("parent", "the process that has the group and the producer", [size[0] for size in sizes]),
            ("worker", "the worker's process", [size[1] for size in sizes]),
        )
    ]


def _run() -> tuple[list[tuple[int, int]], int, int]:
    """Both processes' resident memory at every look, in bytes; how many tasks were refused, and how many left."""
    sizes: list[tuple[int, int]] = []
    failures: list[str] = []
    stop = threading.Event()
    with (
        tempfile.TemporaryDirectory() as folder,
        Lab() as lab,
        connect(lab, transport="confluent-kafka") as topics,
        topics.fresh(f"hour-{uuid4().hex}", partitions=2) as topic,
        WorkerGroup(
            topic, membership=Membership(processes=True), output=Output(records=Path(folder) / "records.parquet")
        ) as group,
        Producer(topic, on_receipt=lambda r: r.error is not None and failures.append(r.error)) as producer,
    ):
        processes = psutil.Process(), worker_process()

        def look() -> None:
            while not stop.wait(LOOK):
                sizes.append((processes[0].memory_info().rss, processes[1].memory_info().rss))

        looking = threading.Thread(target=look)
        looking.start()
        try:
            tasks = (new_task("nothing") for _ in repeat(None, int(RATE * SECONDS)))
            producer.submit_on_schedule(tasks, constant(RATE))
            producer.flush()
            wait_until(
                lambda: all(partition.lag == 0 for partition in group.lag()), timeout=60, what="all were to be done"
            )
        finally:
            stop.set()
            looking.join()
        return sizes, len(failures), sum(partition.lag for partition in group.lag())
