"""A worker group, in memory: sharing, joining, leaving, draining."""

import threading

import pytest

from labkit.errors import DeadlineExceeded, HandlerNotFound, LabkitError, Unsupported
from labkit.measure.records import read_records
from labkit.settings import Settings
from labkit.taskqueue.engine.handler import describe_handler, find_handler
from labkit.taskqueue.group import WorkerGroup
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.service_time import constant
from labkit.taskqueue.task import stock_tasks
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.memory import MemoryTransport

SETTINGS = Settings(_env_file=None)


@pytest.fixture
def topics():
    with Topics(MemoryTransport()) as topics:
        yield topics


def send(topic, count):
    with Producer(topic, settings=SETTINGS) as producer:
        producer.send_many(stock_tasks(count, seed=1))


@pytest.mark.parametrize(
    ("workers", "shares"), [(1, [(0, 1)]), (2, [(0,), (1,)]), (3, [(0,), (1,), ()]), (4, [(0,), (1,), (), ()])]
)
def test_two_partitions_are_shared_round_robin(topics, workers, shares):
    topic = topics.create("t", partitions=2)
    with WorkerGroup(topic, workers=workers, settings=SETTINGS) as group:
        assert list(group.assignment().values()) == shares
        assert list(group.assignment()) == [f"worker-{n + 1}" for n in range(workers)]


def test_drain_returns_one_row_per_task(topics):
    topic = topics.create("t", partitions=2)
    with WorkerGroup(topic, workers=2, settings=SETTINGS) as group:
        send(topic, 100)
        records = group.drain(timeout=60)
    assert len(records) == records["task_id"].nunique() == 100
    assert records.groupby("worker").size().to_dict() == {"worker-1": 50, "worker-2": 50}
    assert records["finished_at"].is_monotonic_increasing


def test_drain_gives_up_at_its_deadline(topics):
    topic = topics.create("t", partitions=1)
    release = threading.Event()
    with WorkerGroup(topic, handler=lambda task: release.wait(60), settings=SETTINGS) as group:
        send(topic, 1)
        with pytest.raises(DeadlineExceeded, match="finish all tasks on 't'"):
            group.drain(timeout=0.2)
        release.set()
        assert len(group.drain(timeout=60)) == 1


def test_a_worker_joins_and_another_leaves_while_tasks_flow(topics):
    topic = topics.create("t", partitions=4)
    with WorkerGroup(topic, workers=1, service=constant(1), settings=SETTINGS) as group:
        send(topic, 100)
        assert group.add() == "worker-2"
        assert group.assignment() == {"worker-1": (0, 2), "worker-2": (1, 3)}
        send(topic, 100)
        group.stop_worker("worker-1")
        assert group.assignment() == {"worker-2": (0, 1, 2, 3)}
        records = group.drain(timeout=60)
    assert len(records) == 200  # nothing lost and, with clean stops, nothing twice


def test_members_of_another_object_share_the_group(topics):
    topic = topics.create("t", partitions=2)
    with (
        WorkerGroup(topic, name="left", settings=SETTINGS) as left,
        WorkerGroup(topic, name="right", settings=SETTINGS) as right,
    ):
        left.wait_until_balanced()
        assert (left.assignment(), right.assignment()) == ({"left-1": (0,)}, {"right-1": (1,)})


def test_groups_do_not_share(topics):
    topic = topics.create("t", partitions=2)
    with WorkerGroup(topic, group="a", settings=SETTINGS) as a, WorkerGroup(topic, group="b", settings=SETTINGS) as b:
        send(topic, 10)
        assert len(a.drain(timeout=60)) == len(b.drain(timeout=60)) == 10


def test_records_are_left_where_the_settings_say(topics, tmp_path):
    topic = topics.create("t", partitions=1)
    with WorkerGroup(topic, settings=Settings(_env_file=None, records_dir=tmp_path)) as group:
        send(topic, 3)
        records = group.drain(timeout=60)
    (path,) = tmp_path.glob("t.worker_group.*.parquet")
    assert read_records(path).equals(records)


def test_threads_cannot_be_killed(topics):
    topic = topics.create("t", partitions=1)
    with WorkerGroup(topic, settings=SETTINGS) as group, pytest.raises(Unsupported, match="processes=True"):
        group.kill("worker-1")


def test_processes_need_a_broker_outside_this_process(topics):
    topic = topics.create("t", partitions=1)
    with pytest.raises(Unsupported, match="must be threads"):
        WorkerGroup(topic, processes=True, settings=SETTINGS).start()


def test_a_handler_or_a_service_time(topics):
    with pytest.raises(LabkitError, match="not both"):
        WorkerGroup(topics.create("t", partitions=1), handler=print, service=constant(1), settings=SETTINGS)


def test_an_importable_handler_is_named_and_found():
    assert find_handler(describe_handler(stock_tasks)) is stock_tasks


@pytest.mark.parametrize("handler", [lambda task: None, type("C", (), {"__call__": lambda self, task: None})()])
def test_a_handler_that_cannot_be_imported_is_refused(handler):
    with pytest.raises(HandlerNotFound, match="module of its own"):
        describe_handler(handler)


@pytest.mark.parametrize("name", ["", "json", "no_such_module:f", "json:no_such_function", "json:__name__"])
def test_a_name_that_is_no_handler_is_refused(name):
    with pytest.raises(HandlerNotFound):
        find_handler(name)
