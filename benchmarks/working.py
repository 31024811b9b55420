"""The worker loop with an empty handler against the raw client's consume loop, same run."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from benchmarks.figure import Figure, alternate, measured, ratios
from labkit.lab import Connection, Lab
from labkit.measure.records import TaskRecord
from labkit.settings import load_settings
from labkit.taskqueue import Producer, Topic, connect, stock_tasks
from labkit.taskqueue.worker import Worker

TASKS = 40_000
REPEATS = 5

Raw = Callable[[Connection, Topic], float]


def measure() -> list[Figure]:
    """One figure per transport; the row is judged on the default one."""
    with Lab() as lab:
        return [
            _compare(lab, "kafka-python", _raw_kafka_python, at_least=0.60, aim=0.85),
            _compare(lab, "confluent-kafka", _raw_confluent, at_least=None, aim=None),
        ]


def _compare(lab: Lab, transport: Any, raw: Raw, *, at_least: float | None, aim: float | None) -> Figure:
    with connect(lab, transport=transport) as topics:
        topic = topics.create(f"working-{uuid4().hex}", partitions=2)
        with Producer(topic) as producer:
            producer.send_many(stock_tasks(TASKS, seed=1))
        _ours(topic)
        raw(lab.connection, topic)
        pairs = alternate(lambda: _ours(topic), lambda: raw(lab.connection, topic), REPEATS)
        topics.delete(topic.name)
    return measured(
        f"worker_{transport}",
        f"worker loop with an empty handler against the raw client's consume loop ({transport})",
        ratios(pairs),
        unit="share",
        better="higher",
        at_least=at_least,
        aim=aim,
        how=f"{TASKS} stock tasks on 2 partitions, one worker, new group, from the first record to the last: decoding, "
        "a record of every attempt and commits included.",
        rival=f"a bare poll loop over {transport} that counts records: no decoding, no handler, no commit; "
        "polls of 500",
        beside={
            "labkit, median tasks/s": statistics.median(ours for ours, _ in pairs),
            "raw, median records/s": statistics.median(rival for _, rival in pairs),
        },
    )


def _ours(topic: Topic) -> float:
    records: list[TaskRecord] = []
    done = threading.Event()

    def keep(record: TaskRecord) -> None:
        records.append(record)
        if len(records) == TASKS:
            done.set()

    worker = Worker(
        topic,
        name="worker-1",
        group=uuid4().hex,
        handler=lambda task: None,
        session_timeout=load_settings().session_timeout,
        on_record=keep,
    )
    gc.collect()
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert done.wait(120)
    worker.stop()
    thread.join()
    return TASKS / (records[-1].finished_at - records[0].received_at)


def _raw_kafka_python(connection: Connection, topic: Topic) -> float:
    from kafka import KafkaConsumer

    client = KafkaConsumer(
        topic.full_name,
        bootstrap_servers=connection.bootstrap_servers,
        group_id=uuid4().hex,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    gc.collect()
    seen, began = 0, 0.0
    while seen < TASKS:
        for records in client.poll(100, max_records=500).values():
            began = began or time.perf_counter()
            for _record in records:
                seen += 1
    rate = TASKS / (time.perf_counter() - began)
    client.close()
    return rate


def _raw_confluent(connection: Connection, topic: Topic) -> float:
    from confluent_kafka import Consumer

    client = Consumer(
        {
            "bootstrap.servers": connection.bootstrap_servers,
            "group.id": uuid4().hex,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    client.subscribe([topic.full_name])
    gc.collect()
    seen, began = 0, 0.0
    while seen < TASKS:
        for record in client.consume(500, timeout=0.1):
            assert record.error() is None, record.error()
            began = began or time.perf_counter()
            seen += 1
    rate = TASKS / (time.perf_counter() - began)
    client.close()
    return rate
