"""One worker, in memory: what it records, what it commits, and what does not stop it."""

import threading

import pytest

from labkit.settings import Settings
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.task import Task, stock_tasks
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.contract import ProducerConfig
from labkit.taskqueue.transport.memory import MemoryTransport
from labkit.taskqueue.waiting import wait_until
from labkit.taskqueue.worker import Worker

SETTINGS = Settings(_env_file=None)


@pytest.fixture
def topics():
    with Topics(MemoryTransport()) as topics:
        yield topics


def make(topics: Topics, handler=lambda task: None, name="worker-1"):
    records = []
    worker = Worker(topics.get("t"), name=name, group="g", handler=handler, session_timeout=6, on_record=records.append)
    return worker, records


def run_until_empty(topics: Topics, worker: Worker) -> None:
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_until(lambda: not sum(p.lag for p in topics.lag("t", group="g")), timeout=10, what="the queue was to empty")
    worker.stop()
    thread.join(10)
    assert not thread.is_alive()


def send(topics: Topics, tasks: list[Task]) -> None:
    with Producer(topics.get("t"), settings=SETTINGS) as producer:
        producer.send_many(tasks)


def test_every_task_leaves_one_record_with_its_times_in_order(topics):
    topics.create("t", partitions=2)
    tasks = stock_tasks(50, seed=1, keys=5)
    send(topics, tasks)
    worker, records = make(topics)
    run_until_empty(topics, worker)
    assert {r.task_id for r in records} == {task.id for task in tasks}
    assert len(records) == 50
    for r in records:
        assert r.received_at <= r.started_at <= r.finished_at
        assert (r.outcome, r.error, r.worker, r.topic, r.kind) == ("done", None, "worker-1", "t", "process_file")


def test_within_a_partition_tasks_are_worked_on_in_order(topics):
    topics.create("t", partitions=2)
    send(topics, stock_tasks(50, seed=1))
    worker, records = make(topics)
    run_until_empty(topics, worker)
    for partition in (0, 1):
        offsets = [r.offset for r in records if r.partition == partition]
        assert offsets == sorted(offsets)


def test_a_handler_that_raises_does_not_stop_the_worker(topics):
    topics.create("t", partitions=1)
    tasks = stock_tasks(3, seed=1)
    send(topics, tasks)

    def handler(task):
        if task.id == tasks[1].id:
            raise ValueError("no such file")

    worker, records = make(topics, handler)
    run_until_empty(topics, worker)
    assert [r.outcome for r in records] == ["done", "failed", "done"]
    assert records[1].error == "ValueError: no such file"


def test_a_bad_record_does_not_stop_the_worker(topics):
    topics.create("t", partitions=1)
    client = topics.transport.producer(ProducerConfig())
    client.send(
        "t", partition=0, key=None, value=b"\x00", headers=(), timestamp_ms=5, on_delivery=lambda delivery, error: None
    )
    client.close(5)
    send(topics, stock_tasks(1, seed=1))
    worker, records = make(topics)
    run_until_empty(topics, worker)
    assert [r.outcome for r in records] == ["bad", "done"]
    assert "t, partition 0, offset 0 is not a task" in records[0].error


def test_a_stop_finishes_the_task_in_hand_and_commits_only_what_is_done(topics):
    topics.create("t", partitions=1)
    send(topics, stock_tasks(10, seed=1))
    begun, may_end = threading.Event(), threading.Event()

    def handler(task):
        begun.set()
        assert may_end.wait(10)

    worker, records = make(topics, handler)
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert begun.wait(10)
    worker.stop()
    may_end.set()
    thread.join(10)
    (lag,) = topics.lag("t", group="g")
    assert (len(records), lag.committed) == (1, 1)
    assert topics.members("g") == {}


def test_nothing_is_committed_before_it_is_done(topics):
    topics.create("t", partitions=1)
    send(topics, stock_tasks(5, seed=1))
    seen = []

    def handler(task):
        (lag,) = topics.lag("t", group="g")
        seen.append(lag.committed)

    worker, records = make(topics, handler)
    run_until_empty(topics, worker)
    assert all(committed <= done for done, committed in enumerate(seen))
    assert len(records) == 5


def test_status_tells_partitions_and_counts(topics):
    topics.create("t", partitions=2)
    worker, _ = make(topics)
    assert worker.status().running is False
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_until(lambda: worker.status().partitions == (0, 1), timeout=10, what="the worker was to get its partitions")
    send(topics, stock_tasks(4, seed=1))
    wait_until(lambda: worker.status().done == 4, timeout=10, what="the tasks were to be done")
    worker.stop()
    thread.join(10)
    assert worker.status().partitions == ()
