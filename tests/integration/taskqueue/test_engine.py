"""The engine on a real broker: killers, dead letters and replays, rolling restarts, handlers that take long."""

from __future__ import annotations

import threading
import time
from itertools import accumulate

import pytest

from labkit.taskqueue import Producer, Task, Topics, WorkerGroup, connect, constant, new_task, stock_tasks
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.engine.partition_state import DELIVERIES
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topic
from labkit.taskqueue.worker_group.membership import Membership
from tests import handlers


@pytest.fixture(params=["kafka-python", "confluent-kafka"])
def topics(lab, request):
    with connect(lab, transport=request.param) as topics:
        yield topics


def send(topic: Topic, tasks) -> None:
    with Producer(topic) as producer:
        producer.send_many(tasks)


def most_at_once(records) -> int:
    """How many tasks ran at the same moment, at most."""
    changes = [(moment, 1) for moment in records["started_at"]]
    changes += [(moment, -1) for moment in records["finished_at"]]
    return max(accumulate(change for _, change in sorted(changes)))


def test_one_partition_feeds_many_threads_in_key_order(topics: Topics, unique_name: str) -> None:
    topic = topics.create(unique_name, partitions=1)
    send(topic, stock_tasks(400, seed=1, keys=40))
    with WorkerGroup(topic, group=unique_name, handler=constant(0.005), order="key", concurrency=16) as group:
        records = group.drain(timeout=120)
    assert records["task_id"].nunique() == len(records) == 400
    assert all(offsets.is_monotonic_increasing for _, offsets in records.groupby("key")["offset"])
    assert most_at_once(records) >= 4, "they ran side by side"


@pytest.mark.parametrize("partitions", [pytest.param(1, marks=pytest.mark.long), 2])
def test_a_task_that_kills_its_worker_ends_among_the_dead_letters(
    topics: Topics, unique_name: str, partitions: int
) -> None:
    """And nothing else does, whatever the partitions that the worker has beside it."""
    topic = topics.create(unique_name, partitions=partitions)
    deadly = new_task("k", "deadly")
    send(
        topic, [*(new_task("k", "harmless") for _ in range(5)), deadly, *(new_task("k", "harmless") for _ in range(5))]
    )
    group = WorkerGroup(
        topic,
        group=unique_name,
        handler=handlers.die,
        order="none",
        concurrency=4,
        membership=Membership(processes=True, session_timeout=1.0),
    )
    deaths = 0

    def empty() -> bool:
        nonlocal deaths
        for name in group.dead():
            group.kill(name)
            group.begin_to_add()
            deaths += 1
        return all(partition.lag == 0 for partition in group.lag())

    group.begin_to_add()
    wait_until(empty, timeout=120, what="the queue was to empty", interval=0.1)
    (letter,) = DeadLetters(topics, topic.name).list()
    records = group.records()
    group.stop()
    assert letter.task().id == deadly.id
    assert letter.attempts == DELIVERIES
    # a worker that stood still in between, and was thrown out, may have begun once without having died
    assert DELIVERIES - 1 <= deaths <= 2 * DELIVERIES
    assert letter.error.startswith("KillsItsWorker")
    assert set(records[records["outcome"] == "done"]["task_id"]) | {deadly.id} >= set(records["task_id"])
    assert records[records["outcome"] == "done"]["task_id"].nunique() == 10


def test_a_dead_letter_that_is_replayed_is_done_and_the_queue_is_empty_again(topics: Topics, unique_name: str) -> None:
    topic = topics.create(unique_name, partitions=2)
    tasks = stock_tasks(20, seed=1)
    send(topic, tasks)
    healthy = []

    def handler(task):
        if not healthy and task.id == tasks[7].id:
            raise ConnectionError("the other side is down")

    with WorkerGroup(topic, group=unique_name, handler=handler, retry=Retry(attempts=2, first=0.01)) as group:
        group.drain(timeout=120)
        letters = DeadLetters(topics, topic.name)
        (letter,) = letters.list()
        assert (letter.task().id, letter.attempts, letter.group) == (tasks[7].id, 2, unique_name)
        healthy.append(True)
        assert letters.replay([letter.id]) == 1
        records = group.drain(timeout=120)
    of_it = records[records["task_id"] == tasks[7].id]
    assert list(of_it["outcome"]) == ["failed", "dead", "done"]
    assert letters.list() == []


def test_a_handler_that_takes_longer_than_the_session_keeps_its_worker_in_the_group(
    topics: Topics, unique_name: str
) -> None:
    """The session is as long as a busy machine may keep a process from running, with its thirty heartbeats."""
    topic = topics.create(unique_name, partitions=2)
    session = 10.0
    is_over = threading.Event()
    begins: list[str] = []

    def handler(task: Task) -> None:
        begins.append(task.id)
        assert is_over.wait(60)

    with WorkerGroup(
        topic, group=unique_name, workers=2, handler=handler, membership=Membership(session_timeout=session)
    ) as group:
        before = group.assignment()
        send(topic, stock_tasks(2, seed=1))
        wait_until(lambda: len(begins) == 2, timeout=120, what="both tasks were to begin")
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() - begun > session + 1, timeout=120, what="a session was to pass")
        is_over.set()
        records = group.drain(timeout=120)
        assert group.assignment() == before
    assert sorted(records["task_id"]) == sorted(begins)
    assert len(begins) == 2


def test_processes_work_for_one_worker(topics: Topics, unique_name: str) -> None:
    topic = topics.create(unique_name, partitions=1)
    send(topic, [new_task("k", 1000) for _ in range(50)])
    with WorkerGroup(
        topic, group=unique_name, handler=handlers.count_up, executor="processes", order="none", concurrency=2
    ) as group:
        records = group.drain(timeout=120)
    assert list(records["outcome"]) == ["done"] * 50
