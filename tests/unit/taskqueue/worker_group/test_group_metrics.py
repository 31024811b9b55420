"""The metrics of a worker group, as Prometheus reads them."""

import socket
import threading

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from labkit.errors import BrokerUnreachable, PortInUse, UnknownTopic
from labkit.settings import Settings
from labkit.taskqueue import repeated_question
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.task import stock_tasks
from labkit.taskqueue.topics import PartitionLag, Topics
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.worker_group.group import WorkerGroup
from labkit.taskqueue.worker_group.group_metrics import GroupMetrics
from labkit.taskqueue.worker_group.group_output import Output
from tests.conditions import PATIENCE

SETTINGS = Settings(_env_file=None)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def samples(port: int) -> dict[tuple[str, str], float]:
    """The value of each sample by its name and its own label."""
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            own = sample.labels.get("outcome") or sample.labels.get("partition") or sample.labels.get("le") or ""
            assert sample.labels["topic"] == "t"
            assert sample.labels["group"] == "worker_group"
            found[sample.name, own] = sample.value
    return found


def test_what_a_group_does_can_be_scraped():
    def handler(task):
        if task.payload.startswith("Task 1:"):
            raise ValueError("no")

    with Topics(MemoryTransport()) as topics:
        topic = topics.create("t", partitions=2)
        with Producer(topic, settings=SETTINGS) as producer:
            producer.send_many(stock_tasks(10, seed=1))
        records = []
        group = WorkerGroup(
            topic,
            handler=handler,
            retry=Retry(attempts=2, first=0),
            output=Output(on_record=records.append),
            settings=SETTINGS,
        )
        metrics = GroupMetrics("t", "worker_group", lag=group.lag, workers=lambda: len(group.status()))
        port = free_port()
        stop = metrics.serve(port)
        before = samples(port)
        with group:
            group.drain(timeout=60)
            for record in records:
                metrics.observe(record)
            found = samples(port)
        stop()
    assert sum(value for (name, _), value in before.items() if name == "labkit_lag") == 10
    assert (found["labkit_attempts_total", "done"], found["labkit_attempts_total", "failed"]) == (9, 1)
    assert found["labkit_attempts_total", "dead"] == 1
    assert found["labkit_service_seconds_count", ""] == found["labkit_waiting_seconds_count", ""] == 11
    assert (found["labkit_lag", "0"], found["labkit_lag", "1"], found["labkit_workers", ""]) == (0, 0, 1)


def test_a_port_in_use_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        metrics = GroupMetrics("t", "g", lag=lambda: [PartitionLag(partition=0, committed=0, end=0)], workers=lambda: 1)
        with pytest.raises(PortInUse, match=r"cannot be served on port \d+: .*in use"):
            metrics.serve(taken.getsockname()[1])


@pytest.mark.parametrize("error", [BrokerUnreachable(), UnknownTopic()])
def test_a_lag_that_nobody_knows_is_left_out(error):
    def lag():
        raise error

    found = GroupMetrics("t", "g", lag=lag, workers=lambda: 3).registry
    assert found.get_sample_value("labkit_workers", {"topic": "t", "group": "g"}) == 3
    assert not [sample for family in found.collect() for sample in family.samples if sample.name == "labkit_lag"]


def test_a_scrape_waits_for_kafka_no_longer_than_a_moment(monkeypatch):
    def lag():
        asked.append(1)
        assert may_answer.wait(PATIENCE)
        return []

    asked, may_answer = [], threading.Event()
    monkeypatch.setattr(repeated_question, "MOMENT", 0)
    registry = GroupMetrics("t", "g", lag=lag, workers=lambda: 3).registry
    try:
        for _ in range(3):
            assert registry.get_sample_value("labkit_workers", {"topic": "t", "group": "g"}) == 3
        assert len(asked) == 1, "one question at a time"
    finally:
        may_answer.set()
