"""What a live view sees of Kafka, also when its topics are deleted or made anew under it."""

from __future__ import annotations

import threading
from contextlib import closing
from types import SimpleNamespace

import pytest

from labkit.cli.dispatcher_view import left_on_kafka
from labkit.dispatch.account import unsettled
from labkit.dispatch.class_status import ClassStatus
from labkit.dispatch.monitor import DispatcherMonitor, DispatcherSnapshot
from labkit.errors import BrokerUnreachable
from labkit.settings import Settings
from labkit.taskqueue import repeated_question
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.repeated_question import OVERDUE
from labkit.taskqueue.task import stock_tasks
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import Topics, read_topic
from labkit.taskqueue.transport.memory import MemoryTransport
from tests.conditions import PATIENCE
from tests.unit.clock import Clock


@pytest.fixture
def topics():
    with Topics(MemoryTransport()) as topics:
        for name in ("jobs.high", "jobs.low"):
            topics.create(name, partitions=2)
            with Producer(topics.get(name)) as producer:
                producer.send_many(stock_tasks(3, seed=1))
        yield topics


@pytest.fixture
def monitor(topics, tmp_path):
    """A monitor of a dispatcher of two classes; there is no Redis."""
    statuses = [
        ClassStatus(name=name, topic=f"jobs.{name}", waiting=0, sent=0, shed=0, dead=0, held="")
        for name in ("high", "low")
    ]
    dispatcher = SimpleNamespace(status=lambda: statuses, check=lambda: None)
    settings = Settings(_env_file=None, redis_url=f"unix://{tmp_path}/nobody.sock")
    with DispatcherMonitor(None, topics, dispatcher, group="g", limit=1, settings=settings) as monitor:
        yield monitor


def on_kafka(look: DispatcherSnapshot) -> list[int | None]:
    return [one.on_kafka for one in look.classes]


def test_a_topic_that_is_deleted_is_one_that_is_gone_until_it_is_made_anew(topics, monitor):
    assert on_kafka(monitor.look()) == [3, 3]
    topics.delete("jobs.low")
    look = monitor.look()
    assert on_kafka(look) == [3, None]
    assert not look.kafka_is_away
    assert left_on_kafka(look) == "Left on Kafka: high 3, low unknown (its topic is gone)."
    topics.create("jobs.low", partitions=4)
    assert on_kafka(monitor.look()) == [3, 0]


def test_where_kafka_is_away_nobody_knows_whether_a_topic_is_gone(monitor, monkeypatch):
    def away(*_):
        raise BrokerUnreachable()

    monkeypatch.setattr(monitor, "_ask_kafka", away)
    look = monitor.look()
    assert on_kafka(look) == [None, None]
    assert look.kafka_is_away
    assert left_on_kafka(look).startswith("Kafka does not answer")


def test_a_glance_waits_for_kafka_no_longer_than_a_moment(monitor, monkeypatch):
    may_answer, clock = threading.Event(), Clock()
    monitor._question._clock = clock
    assert on_kafka(monitor.glance()) == [3, 3]
    admin = monitor._admin.get()
    monkeypatch.setattr(repeated_question, "MOMENT", 0)
    monkeypatch.setattr(admin, "end_offsets", lambda name: may_answer.wait(PATIENCE) and {0: 9, 1: 9})
    try:
        assert on_kafka(monitor.glance()) == [3, 3]
        clock.now += OVERDUE
        assert monitor.glance().kafka_is_away
    finally:
        may_answer.set()
    wait_until(lambda: on_kafka(monitor.glance()) == [18, 18], timeout=PATIENCE, what="it was to answer")


@pytest.mark.parametrize("partitions", [1, 2, 4])
@pytest.mark.parametrize("ask", ["unsettled", "lag", "read"])
def test_a_topic_may_be_made_anew_between_two_questions(topics, monkeypatch, partitions, ask):
    """The second answer may be for fewer partitions, or for more."""

    def made_anew_after(question):
        def asked(self, topic):
            found = question(self, topic)
            if not made:
                made.append(topic)
                Topics.recreate(other, "jobs.low", partitions=partitions)
            return found

        return asked

    other = Topics(topics.transport)
    admin = type(topics._client)
    made: list[str] = []
    for name in ("start_offsets", "end_offsets"):
        monkeypatch.setattr(admin, name, made_anew_after(getattr(admin, name)))
    topic = topics.get("jobs.low")
    if ask == "unsettled":
        with closing(topics.transport.admin()) as client:
            assert sum(one.size for one in unsettled(client, topic, "g").values()) == 0
    elif ask == "lag":
        assert sum(place.lag for place in topics.lag("jobs.low", group="g")) == 0
    else:
        assert list(read_topic(topics.transport, topic.full_name)) == []
    assert made
