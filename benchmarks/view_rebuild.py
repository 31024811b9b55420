"""The view of the jobs built again from a topic of a million events, against only reading that topic, same run."""

from __future__ import annotations

import gc
import random
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from benchmarks.figure import Figure, alternate, measured
from labkit.jobs import JobEvent, JobStatus, JobView, jobs_topic
from labkit.jobs.job import version_of
from labkit.jobs.writer import new_job_id
from labkit.lab import Lab
from labkit.settings import TransportName
from labkit.taskqueue import Producer, Topic, connect
from labkit.taskqueue.topics import read_topic

EVENTS = 1_000_000
PARTITIONS = 4
#: Every second job fails once: four events a job.
LIVES = (
    ((JobStatus.NEW, 0), (JobStatus.RUNNING, 1), (JobStatus.DONE, 1)),
    ((JobStatus.NEW, 0), (JobStatus.RUNNING, 1), (JobStatus.FAILED, 1), (JobStatus.RUNNING, 2), (JobStatus.DONE, 2)),
)
JOBS = EVENTS // 4
#: The lives of so many jobs lie among each other on the topic.
AT_ONCE = 5_000
REPEATS = 3
#: How long one rebuild may take, in seconds.
PATIENCE = 600.0


def measure() -> Iterator[Figure]:
    """One figure per transport; the row is judged on the default one."""
    with Lab() as lab:
        with connect(lab, transport="confluent-kafka") as topics:
            _fill(jobs_topic(topics, partitions=PARTITIONS))
        yield _compare(lab, "kafka-python", at_least=60.0, aim=20.0)
        yield _compare(lab, "confluent-kafka", at_least=None, aim=None)


def _compare(lab: Lab, transport: TransportName, *, at_least: float | None, aim: float | None) -> Figure:
    with connect(lab, transport=transport) as topics:
        topic = topics.get("job-status")
        rebuilt, read = alternate(lambda: _rebuild(topic), lambda: _only_read(topic), repeats=REPEATS)
    return measured(
        f"view_rebuild_{transport}",
        f"rebuild of the view from {EVENTS:,} events ({transport})",
        rebuilt,
        unit="s",
        better="lower",
        at_least=at_least,
        aim=aim,
        how=f"A topic with {PARTITIONS} partitions holds the lives of {JOBS:,} jobs, whose ids are drawn. From "
        "the opening of a view on a SQLite file that is not there to the end of `catch_up`: every event and every job "
        "is in the store, with its indexes.",
        rival="the bound: only reading the topic through the same transport, nothing decoded or stored.",
        beside={
            "only reading the topic in s": sorted(read)[len(read) // 2],
            "rebuild against reading": sorted(a / b for a, b in zip(rebuilt, read, strict=True))[len(read) // 2],
        },
    )


def _rebuild(topic: Topic) -> float:
    with tempfile.TemporaryDirectory() as folder:
        gc.collect()
        began = time.perf_counter()
        with JobView(topic, f"sqlite:///{Path(folder) / 'jobs.sqlite'}") as view:
            view.catch_up(timeout=PATIENCE)
            took = time.perf_counter() - began
            counts = view.counts()
    if counts[JobStatus.DONE] != JOBS:
        raise RuntimeError(f"The view holds {counts} of {EVENTS} events.")
    return took


def _only_read(topic: Topic) -> float:
    gc.collect()
    began = time.perf_counter()
    records = sum(1 for _ in read_topic(topic.transport, topic.full_name))
    took = time.perf_counter() - began
    if records != EVENTS:
        raise RuntimeError(f"{records} of {EVENTS} records were read.")
    return took


def _fill(topic: Topic) -> None:
    with Producer(topic) as producer:
        for events in _batches():
            producer.send_many(event.to_task() for event in events)


def _batches() -> Iterator[list[JobEvent]]:
    """The lives of `AT_ONCE` jobs at a time, step by step."""
    rng = random.Random(1)
    clock = count()
    for _ in range(JOBS // AT_ONCE):
        lives = [(new_job_id(rng), life) for life in LIVES for _ in range(AT_ONCE // 2)]
        yield [
            _event(job_id, *life[step], at=1.7e9 + next(clock) / 1000)
            for step in range(max(map(len, LIVES)))
            for job_id, life in lives
            if step < len(life)
        ]


def _event(job_id: int, status: JobStatus, attempt: int, *, at: float) -> JobEvent:
    return JobEvent(
        job_id=job_id,
        status=status,
        version=version_of(status, attempt),
        at=at,
        worker=f"consumer-{job_id % 8}" if attempt else None,
        attempt=attempt,
        error="RuntimeError: attempt 1 was to fail" if status is JobStatus.FAILED else None,
    )
