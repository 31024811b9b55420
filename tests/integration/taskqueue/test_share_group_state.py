"""What is left for a share group, and who has done it, by the real broker."""

from __future__ import annotations

from contextlib import closing, contextmanager

import kafka
import pytest
from kafka.admin import KafkaAdminClient

from labkit.errors import DoneElsewhere
from labkit.settings import Settings
from labkit.taskqueue import Producer, Topics, WorkerGroup, connect, stock_tasks
from labkit.taskqueue import topics as topics_module
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import read_topic
from labkit.taskqueue.worker_group import done_elsewhere
from labkit.taskqueue.worker_group.membership import Membership

SETTINGS = Settings(_env_file=None, linger_ms=0)


@pytest.fixture
def topics(lab):
    with connect(lab, transport="confluent-kafka") as topics:
        yield topics


@pytest.fixture
def topic(topics: Topics, unique_name):
    with topics.fresh(unique_name, partitions=1) as topic:
        yield topic


def share(topic, **options) -> WorkerGroup:
    return WorkerGroup(topic, group="g", mode="share", settings=SETTINGS, **options)


def send(topic, count: int, *, seed: int = 1) -> set[str]:
    tasks = stock_tasks(count, seed=seed)
    with Producer(topic, settings=SETTINGS) as producer:
        producer.send_many(tasks)
    return {task.id for task in tasks}


@contextmanager
def open_transaction(lab, topic):
    """Leave three records of a transaction that is open inside, and aborted at the end."""
    with closing(kafka.KafkaProducer(bootstrap_servers=lab.bootstrap_servers, transactional_id=topic.full_name)) as raw:
        raw.init_transactions()
        raw.begin_transaction()
        for _ in range(3):
            raw.send(topic.full_name, b"never", partition=0).get(30)
        yield
        raw.abort_transaction()


def abort(lab, topic) -> None:
    with open_transaction(lab, topic):
        pass


def cut_off(lab, topic, before: int) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=lab.bootstrap_servers)) as admin:
        admin.delete_records({kafka.TopicPartition(topic.full_name, 0): before})


@pytest.mark.long
def test_an_aborted_transaction_is_nothing_that_is_left(lab, topic):
    abort(lab, topic)
    with share(topic) as group:
        assert len(group.drain(timeout=120)) == 0
        send(topic, 6)
        assert len(group.drain(timeout=120)) == 6
        abort(lab, topic)
        assert len(group.drain(timeout=120)) == 6
        assert [place.lag for place in group.lag()] == [0]


def test_what_is_in_an_open_transaction_is_left_until_it_ends(lab, topic, monkeypatch):
    monkeypatch.setattr(topics_module, "PATIENCE", 0.5)
    looks = []

    def read(*args, **how):
        looks.append(args)
        return read_topic(*args, **how)

    monkeypatch.setattr(done_elsewhere, "read_topic", read)
    with share(topic) as group:
        with open_transaction(lab, topic):

            def has_looked():
                assert [place.lag for place in group.lag(look=True)] == [3]
                return len(looks) >= 2

            wait_until(has_looked, timeout=120, what="it was to be looked at twice")
        assert len(group.drain(timeout=120)) == 0


def test_what_was_cut_off_is_nothing_that_is_left(lab, topic):
    send(topic, 10)
    with share(topic) as group:
        group.drain(timeout=120)
    send(topic, 6)
    cut_off(lab, topic, 16)
    with share(topic) as group:
        assert len(group.drain(timeout=120)) == 0
        send(topic, 2)
        assert len(group.drain(timeout=120)) == 2


@pytest.mark.long
def test_tasks_that_others_of_a_share_group_have_done_are_not_passed_over(topic):
    send(topic, 4)
    with share(topic, membership=Membership(name="before")) as group:
        group.drain(timeout=120)
    with (
        share(topic, membership=Membership(name="left", max_in_flight=1)) as left,
        share(topic, membership=Membership(name="right", max_in_flight=1)) as right,
    ):
        sent = set().union(*(send(topic, 1, seed=seed) for seed in range(2, 22)))
        assert len(sent) == 20

        def missing(group):
            return sent - set(group.records()["task_id"])

        # one may be delivered to both
        wait_until(lambda: not missing(left) & missing(right), timeout=120, what="all were to be done")
        for group in (left, right):
            if others := len(missing(group)):
                with pytest.raises(DoneElsewhere, match=f"but {others} of them by other members"):
                    group.drain(timeout=120)
            else:
                assert len(group.drain(timeout=120)) >= 20
