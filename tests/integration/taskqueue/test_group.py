"""Worker groups on the real broker, as threads and as processes."""

import random

import pytest

from labkit.settings import Settings
from labkit.taskqueue import Producer, Topics, WorkerGroup, connect, constant, stock_tasks, uniform
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.worker_group.membership import Membership

SETTINGS = Settings(_env_file=None)


@pytest.fixture(params=["kafka-python", "confluent-kafka"])
def topics(request, lab):
    with connect(lab, transport=request.param) as topics:
        yield topics


def send(topic, count, **options):
    with Producer(topic, settings=SETTINGS) as producer:
        return producer.send_many(stock_tasks(count, seed=1, **options))


def test_three_lines_of_a_notebook(topics: Topics, unique_name):
    tasks = stock_tasks(60, seed=7)
    with (
        topics.fresh(unique_name, partitions=2) as topic,
        WorkerGroup(
            topic, group=unique_name, workers=3, handler=uniform(0.001, 0.005, seed=7), settings=SETTINGS
        ) as group,
    ):
        with Producer(topic, settings=SETTINGS) as producer:
            producer.send_many(tasks)
        records = group.drain(timeout=120)
    assert sorted(records["task_id"]) == sorted(task.id for task in tasks)
    assert records.groupby("worker").size().to_dict() == {"worker-1": 30, "worker-2": 30}
    service = records["finished_at"] - records["started_at"]
    drawn = records["task_id"].map(lambda task_id: uniform(0.001, 0.005, seed=7).draw(task_id))
    assert (service >= drawn).all()


@pytest.mark.long
def test_a_process_that_is_killed_loses_nothing(topics: Topics, unique_name):
    with (
        topics.fresh(unique_name, partitions=2) as topic,
        WorkerGroup(
            topic,
            group=unique_name,
            workers=2,
            handler=constant(0.01),
            membership=Membership(processes=True, session_timeout=10),
            settings=SETTINGS,
        ) as group,
    ):
        send(topic, 200)
        wait_until(lambda: all(s.done >= 5 for s in group.status()), timeout=120, what="both workers were to be busy")
        group.kill("worker-2")
        group.wait_until_balanced()
        assert group.assignment() == {"worker-1": (0, 1)}
        records = group.drain(timeout=120)
    assert records["task_id"].nunique() == 200
    # what worker-2 had done but not committed is done again, once: at least once delivery
    repeated = records[records["task_id"].duplicated(keep="first")]
    assert set(repeated["worker"]) <= {"worker-1"}
    assert records["task_id"].value_counts().max() <= 2


def test_processes_join_leave_and_report(topics: Topics, unique_name):
    with (
        topics.fresh(unique_name, partitions=2) as topic,
        WorkerGroup(
            topic, group=unique_name, workers=1, membership=Membership(processes=True), settings=SETTINGS
        ) as group,
    ):
        assert group.assignment() == {"worker-1": (0, 1)}
        assert group.add() == "worker-2"
        assert group.assignment() == {"worker-1": (0,), "worker-2": (1,)}
        send(topic, 50)
        assert len(group.drain(timeout=120)) == 50
        group.stop_worker("worker-1")
        assert group.assignment() == {"worker-2": (0, 1)}


def test_what_one_group_left_the_next_one_does(topics: Topics, unique_name):
    with topics.fresh(unique_name, partitions=2) as topic:
        receipts = send(topic, 40)
        with WorkerGroup(topic, group=unique_name, workers=1, handler=constant(0.005), settings=SETTINGS) as first:
            wait_until(lambda: len(first.records()) >= 10, timeout=120, what="some tasks were to be done")
        with WorkerGroup(topic, group=unique_name, workers=2, settings=SETTINGS) as second:
            rest = second.drain(timeout=120)
    done = {*first.records()["task_id"], *rest["task_id"]}
    assert done == {receipt.task_id for receipt in receipts}
    assert len(first.records()) + len(rest) == 40  # clean stops repeat nothing


def test_growing_while_tasks_flow(topics: Topics, unique_name):
    rng = random.Random(3)
    with (
        topics.fresh(unique_name, partitions=1) as topic,
        WorkerGroup(topic, group=unique_name, workers=2, settings=SETTINGS) as group,
    ):
        send(topic, 20)
        grown = topics.grow(unique_name, partitions=4)
        group.wait_until_balanced()
        with Producer(grown, settings=SETTINGS, partitioner=lambda key, n: rng.randrange(n)) as producer:
            producer.send_many(stock_tasks(100, seed=2))
        records = group.drain(timeout=120)
    assert records["task_id"].nunique() == 120
    assert set(records["partition"]) == {0, 1, 2, 3}
    assert records["worker"].nunique() == 2
