"""The worker loop with an empty handler against the raw client's consume loop, same settings, same run."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import uuid4

from benchmarks.figure import Figure, alternate, measured, ratios
from benchmarks.rivals import LONGEST, consumer_settings, read, read_decode_and_commit
from labkit.lab import Lab
from labkit.measure.task_record import TaskRecord
from labkit.settings import TransportName, load_settings
from labkit.taskqueue import Producer, Topic, connect, new_task
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.worker_config import WorkerConfig
from labkit.taskqueue.worker_group.worker import Worker

PAYLOAD = "x" * 100
REPEATS = 7
#: Tasks per run: one to two seconds of the raw client, and more than librdkafka fetches ahead in a moment.
TASKS: dict[TransportName, int] = {"kafka-python": 40_000, "confluent-kafka": 200_000}


def measure() -> Iterator[Figure]:
    """One figure per transport; the row is judged on the default one."""
    with Lab() as lab:
        yield _compare(lab, "kafka-python", at_least=0.60, aim=0.85)
        yield _compare(lab, "confluent-kafka", at_least=None, aim=None)


def _compare(lab: Lab, transport: TransportName, *, at_least: float | None, aim: float | None) -> Figure:
    tasks = TASKS[transport]
    with connect(lab, transport=transport) as topics, topics.fresh(f"working-{uuid4().hex}", partitions=2) as topic:
        _fill(lab, topic, tasks)
        place = (transport, lab.connection, topic.full_name, tasks)
        ours, bare, decoding = alternate(
            lambda: _rate(tasks, lambda: _ours(topic, tasks)),
            lambda: _rate(tasks, lambda: read(*place)),
            lambda: _rate(tasks, lambda: read_decode_and_commit(*place)),
            repeats=REPEATS,
        )
    return measured(
        f"worker_{transport}",
        f"worker loop with an empty handler against the raw client's consume loop ({transport})",
        ratios(ours, bare),
        unit="share",
        better="higher",
        at_least=at_least,
        aim=aim,
        how=f"{tasks} tasks with a payload of {len(PAYLOAD)} characters on 2 partitions, one worker in a thread, a new "
        "group; from the assignment of the partitions to the last task: fetching, decoding, the handler's call, a "
        "record of every attempt and the commits included. Joining the group is not.",
        rival=f"a bare poll loop by hand over {transport}: it touches every value; no decoding, no handler, no commit.",
        rival_settings=consumer_settings(transport),
        beside={
            "labkit in tasks/s": statistics.median(ours),
            "the rival in records/s": statistics.median(bare),
            "the rival with `json.loads` and a commit every 0.2 s in records/s": statistics.median(decoding),
            "labkit against that one": statistics.median(ratios(ours, decoding)),
        },
    )


def _fill(lab: Lab, topic: Topic, tasks: int) -> None:
    quick = connect(lab, transport="confluent-kafka").transport
    with Producer(replace(topic, transport=quick)) as producer:
        producer.send_many(new_task("process_file", PAYLOAD) for _ in range(tasks))


def _ours(topic: Topic, tasks: int) -> float:
    records: list[TaskRecord] = []
    moments: list[float] = []
    done = threading.Event()

    def assigned(_: tuple[int, ...]) -> None:
        moments.append(time.perf_counter())

    def keep(record: TaskRecord) -> None:
        records.append(record)
        if len(records) == tasks:
            moments.append(time.perf_counter())
            done.set()

    worker = Worker(
        topic,
        name="worker-1",
        group=uuid4().hex,
        work=Work(lambda task: None),
        config=WorkerConfig(session_timeout=load_settings().session_timeout),
        on_record=keep,
        on_assignment=assigned,
    )
    thread = threading.Thread(target=worker.run)
    thread.start()
    finished = done.wait(LONGEST)
    worker.stop()
    thread.join()
    if not finished:
        raise RuntimeError(f"{len(records)} of {tasks} tasks were done within {LONGEST:g} s")
    return moments[1] - moments[0]


def _rate(tasks: int, run: Callable[[], float]) -> float:
    gc.collect()
    return tasks / run()
