"""The producer through labkit against the raw client, same settings, same run."""

from __future__ import annotations

import gc
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from uuid import uuid4

from benchmarks.figure import Figure, alternate, measured, ratios
from benchmarks.rivals import SENDERS, Encoded, producer_settings
from labkit.lab import Connection, Lab
from labkit.settings import TransportName
from labkit.taskqueue import Producer, Topic, connect
from labkit.taskqueue.task import Task, new_task

PAYLOAD = "x" * 100
PARTITIONS = 2
REPEATS = 7
#: Tasks per run: about two seconds of the raw client.
TASKS: dict[TransportName, int] = {"kafka-python": 20_000, "confluent-kafka": 100_000}


def measure() -> Iterator[Figure]:
    """One figure per transport; the row is judged on the default one."""
    with Lab() as lab:
        yield _compare(lab, "kafka-python", at_least=0.80, aim=0.95)
        yield _compare(lab, "confluent-kafka", at_least=None, aim=None)


def _compare(lab: Lab, transport: TransportName, *, at_least: float | None, aim: float | None) -> Figure:
    tasks = [new_task("process_file", PAYLOAD) for _ in range(TASKS[transport])]
    encoded = list(map(_encode, tasks, count()))
    with connect(lab, transport=transport) as topics, topics.fresh(f"producing-{uuid4().hex}", partitions=2) as topic:
        ours, by_hand, prepared = alternate(
            lambda: _ours(topic, tasks),
            lambda: _raw(lab.connection, topic, lambda some: map(_encode, some, count()), tasks),
            lambda: _raw(lab.connection, topic, lambda some: encoded[: len(some)], tasks),
            repeats=REPEATS,
        )
    return measured(
        f"producer_{transport}",
        f"producer through labkit against the raw client ({transport})",
        ratios(ours, by_hand),
        unit="share",
        better="higher",
        at_least=at_least,
        aim=aim,
        how=f"{len(tasks)} tasks with a payload of {len(PAYLOAD)} characters by `send_many`, from the call to the last "
        "acknowledgement: encoding, choice of the partition and a receipt per task included. Connecting is not.",
        rival=f"a loop by hand over {transport}: `json.dumps` of the same fields, the same headers, partitions in "
        "turn, every acknowledgement checked, no receipts.",
        rival_settings=producer_settings(transport),
        beside={
            "labkit in tasks/s": statistics.median(ours),
            "the rival in records/s": statistics.median(by_hand),
            "the rival with records encoded beforehand in records/s": statistics.median(prepared),
            "labkit against that one": statistics.median(ratios(ours, prepared)),
        },
    )


def _ours(topic: Topic, tasks: Sequence[Task]) -> float:
    with Producer(topic) as producer:
        return _rate(lambda some: len(producer.send_many(some)), tasks)


def _raw(
    connection: Connection,
    topic: Topic,
    encode: Callable[[Sequence[Task]], Iterable[Encoded]],
    tasks: Sequence[Task],
) -> float:
    sender = SENDERS[topic.transport.name](connection)
    try:
        return _rate(lambda some: sender.send(topic.full_name, encode(some)), tasks)
    finally:
        sender.close()


def _encode(task: Task, number: int) -> Encoded:
    body = {"kind": task.kind, "payload": task.payload, "priority": task.priority, "created_at": task.created_at}
    headers = [("task-id", task.id.encode()), ("attempt", str(task.attempt).encode())]
    return json.dumps(body).encode(), headers, number % PARTITIONS


def _rate(send: Callable[[Sequence[Task]], int], tasks: Sequence[Task]) -> float:
    send(tasks[:100])  # connected and warm
    gc.collect()
    began = time.perf_counter()
    sent = send(tasks)
    took = time.perf_counter() - began
    if sent != len(tasks):
        raise RuntimeError(f"{sent} of {len(tasks)} records were acknowledged")
    return sent / took
