"""On a real broker: a partition whose dead letters are refused, in a group that a worker joins."""

from __future__ import annotations

import threading

import pytest

from labkit.taskqueue import Producer, Topics, WorkerGroup, connect, new_task
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topic
from tests.conditions import PATIENCE


@pytest.fixture(params=["kafka-python", "confluent-kafka"])
def topics(lab, request):
    with connect(lab, transport=request.param) as topics:
        yield topics


def send(topic: Topic, partition: int, *kinds: str) -> None:
    with Producer(topic, partitioner=lambda _key, _count: partition) as producer:
        producer.send_many(new_task(kind) for kind in kinds)


def test_a_worker_joins_while_a_partition_is_stopped(topics: Topics, unique_name: str) -> None:
    """One member is held in its handover, so that the other polls on without any partition."""
    topic = topics.create(unique_name, partitions=4)
    is_held, may_end = threading.Event(), threading.Event()

    def handler(task):
        if task.kind == "bad":
            raise ValueError("no")
        if task.kind == "slow":
            is_held.set()
            assert may_end.wait(PATIENCE)

    how = {"group": unique_name, "handler": handler, "retry": Retry(attempts=1)}
    with WorkerGroup(topic, workers=2, **how) as group:
        topics.create(f"{unique_name}_dead", partitions=1)  # so that letters have nowhere to go
        send(topic, 0, "bad", "stuck")
        send(topic, 1, "slow")
        worker = group._members["worker-1"]._worker
        wait_until(lambda: bool(worker._assigned.stopped()), timeout=PATIENCE, what="partition 0 was to be stopped")
        assert is_held.wait(PATIENCE)
        group.begin_to_add()
        is_without = lambda: not group.assignment()["worker-1"]  # noqa: E731
        wait_until(is_without, timeout=PATIENCE, what="worker-1 was to give up its partitions", interval=0.01)
        may_end.set()
        group.wait_until_balanced(timeout=PATIENCE)
        send(topic, 2, "good")
        records = lambda: group.records().query("outcome == 'done'")["kind"]  # noqa: E731
        wait_until(lambda: "good" in set(records()), timeout=PATIENCE, what="the others were to go on")
        assert not group.dead()
