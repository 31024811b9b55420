"""The producer through labkit against the raw client, same settings, same run."""

from __future__ import annotations

import gc
import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from benchmarks.figure import Figure, alternate, measured, ratios
from labkit.lab import Connection, Lab
from labkit.settings import load_settings
from labkit.taskqueue import Producer, Topic, connect, stock_tasks
from labkit.taskqueue.task import Task

TASKS = 20_000
REPEATS = 5
PARTITIONS = 2

Raw = Callable[[Connection, Topic, Sequence[Task]], float]


def measure() -> list[Figure]:
    """One figure per transport; the row is judged on the default one."""
    with Lab() as lab:
        return [
            _compare(lab, "kafka-python", _raw_kafka_python, at_least=0.80, aim=0.95),
            _compare(lab, "confluent-kafka", _raw_confluent, at_least=None, aim=None),
        ]


def _compare(lab: Lab, transport: Any, raw: Raw, *, at_least: float | None, aim: float | None) -> Figure:
    tasks = stock_tasks(TASKS, seed=1)
    with connect(lab, transport=transport) as topics:
        topic = topics.create(f"producing-{uuid4().hex}", partitions=PARTITIONS)
        _ours(topic, tasks[:500])
        raw(lab.connection, topic, tasks[:500])
        pairs = alternate(lambda: _ours(topic, tasks), lambda: raw(lab.connection, topic, tasks), REPEATS)
        topics.delete(topic.name)
    return measured(
        f"producer_{transport}",
        f"producer through labkit against the raw client ({transport})",
        ratios(pairs),
        unit="share",
        better="higher",
        at_least=at_least,
        aim=aim,
        how=f"{TASKS} stock tasks by `send_many`, from the first call to the last acknowledgement: encoding, choice of "
        "partition and a receipt per task included.",
        rival=f"a loop by hand over {transport}: JSON by `json.dumps`, the same headers, partitions in turn, the "
        "acknowledgement of each record checked; acks=all, linger 5 ms, no compression, as labkit's defaults",
        beside={
            "labkit, median tasks/s": statistics.median(ours for ours, _ in pairs),
            "raw, median tasks/s": statistics.median(rival for _, rival in pairs),
        },
    )


def _ours(topic: Topic, tasks: Sequence[Task]) -> float:
    with Producer(topic) as producer:
        producer.send(tasks[0])  # connected and warm, as the raw client below
        return _rate(tasks, lambda: producer.send_many(tasks))


def _raw_kafka_python(connection: Connection, topic: Topic, tasks: Sequence[Task]) -> float:
    from kafka import KafkaProducer

    settings = load_settings()
    client = KafkaProducer(
        bootstrap_servers=connection.bootstrap_servers,
        acks="all",
        retries=settings.retries,
        linger_ms=settings.linger_ms,
    )
    client.send(topic.full_name, b"warm", partition=0).get(10)

    def send() -> None:
        futures = [
            client.send(topic.full_name, _value(task), headers=_headers(task), partition=number % PARTITIONS)
            for number, task in enumerate(tasks)
        ]
        client.flush()
        offsets = [future.get().offset for future in futures]
        assert len(offsets) == len(tasks)

    try:
        return _rate(tasks, send)
    finally:
        client.close()


def _raw_confluent(connection: Connection, topic: Topic, tasks: Sequence[Task]) -> float:
    from confluent_kafka import Producer as Client

    settings = load_settings()
    client = Client(
        {
            "bootstrap.servers": connection.bootstrap_servers,
            "enable.idempotence": True,
            "retries": settings.retries,
            "linger.ms": settings.linger_ms,
        }
    )
    offsets: list[int] = []

    def delivered(error: Any, message: Any) -> None:
        assert error is None, error
        offsets.append(message.offset())

    def send() -> None:
        for number, task in enumerate(tasks):
            while True:
                try:
                    client.produce(
                        topic.full_name,
                        _value(task),
                        partition=number % PARTITIONS,
                        headers=_headers(task),
                        on_delivery=delivered,
                    )
                    break
                except BufferError:
                    client.poll(0.01)
            client.poll(0)
        client.flush()
        assert len(offsets) == len(tasks)

    client.list_topics(timeout=10)
    return _rate(tasks, send)


def _value(task: Task) -> bytes:
    body = {"kind": task.kind, "payload": task.payload, "priority": task.priority, "created_at": task.created_at}
    return json.dumps(body).encode()


def _headers(task: Task) -> list[tuple[str, bytes]]:
    return [("task-id", task.id.encode()), ("attempt", str(task.attempt).encode())]


def _rate(tasks: Sequence[Task], send: Callable[[], object]) -> float:
    gc.collect()
    began = time.perf_counter()
    send()
    return len(tasks) / (time.perf_counter() - began)
