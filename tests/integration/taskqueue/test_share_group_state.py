"""What is left for a share group, and who has done it, by the real broker."""

from __future__ import annotations

from contextlib import closing

import kafka
import pytest
from kafka.admin import KafkaAdminClient

from labkit.errors import DoneElsewhere
from labkit.settings import Settings
from labkit.taskqueue import Producer, Topics, WorkerGroup, connect, stock_tasks
from labkit.taskqueue.timeouts import wait_until

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


def send(topic, count: int) -> None:
    with Producer(topic, settings=SETTINGS) as producer:
        producer.send_many(stock_tasks(count, seed=1))


def abort(lab, topic) -> None:
    """Leave three records of a transaction that is aborted."""
    with closing(kafka.KafkaProducer(bootstrap_servers=lab.bootstrap_servers, transactional_id=topic.full_name)) as raw:
        raw.init_transactions()
        raw.begin_transaction()
        for _ in range(3):
            raw.send(topic.full_name, b"never", partition=0).get(30)
        raw.abort_transaction()


def cut_off(lab, topic, before: int) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=lab.bootstrap_servers)) as admin:
        admin.delete_records({kafka.TopicPartition(topic.full_name, 0): before})


def test_an_aborted_transaction_is_nothing_that_is_left(lab, topic):
    abort(lab, topic)
    with share(topic) as group:
        assert len(group.drain(timeout=60)) == 0
        send(topic, 6)
        assert len(group.drain(timeout=60)) == 6
        abort(lab, topic)
        assert len(group.drain(timeout=60)) == 6
        assert [place.lag for place in group.lag()] == [0]


def test_what_was_cut_off_is_nothing_that_is_left(lab, topic):
    send(topic, 10)
    with share(topic) as group:
        group.drain(timeout=60)
    send(topic, 6)
    cut_off(lab, topic, 16)
    with share(topic) as group:
        assert len(group.drain(timeout=60)) == 0
        send(topic, 2)
        assert len(group.drain(timeout=60)) == 2


def test_tasks_that_others_of_a_share_group_have_done_are_not_passed_over(topic):
    send(topic, 4)
    with share(topic, name="before") as group:
        group.drain(timeout=60)
    with share(topic, name="left", max_in_flight=1) as left, share(topic, name="right", max_in_flight=1) as right:
        for _ in range(20):
            send(topic, 1)
        shared = lambda: left.attempts() + right.attempts() == 20  # noqa: E731
        wait_until(shared, timeout=60, what="all were to be done")
        counts = left.attempts(), right.attempts()
        for group, others in ((left, counts[1]), (right, counts[0])):
            if others:
                with pytest.raises(DoneElsewhere, match=f"but {others} of them by other members"):
                    group.drain(timeout=60)
            else:
                assert len(group.drain(timeout=60)) == 20
