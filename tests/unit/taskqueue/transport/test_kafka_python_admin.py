"""The admin client over kafka-python: what it waits for, and what it says when that does not come."""

from __future__ import annotations

from types import SimpleNamespace

import kafka
import kafka.errors as kafka_errors
import pytest

from labkit.errors import BrokerUnreachable
from labkit.lab.connection import Connection
from labkit.taskqueue.transport.kafka_python import admin as module
from labkit.taskqueue.transport.kafka_python.admin import KafkaPythonAdmin
from labkit.taskqueue.transport.values import Timeouts


class Slow:
    """kafka-python, with brokers that take every change and show none of it."""

    taken = SimpleNamespace(error_code=0, error_message=None)

    def create_topics(self, shapes, **_how):
        return {"topics": [{"error_code": 0, "error_message": None}]}

    delete_topics = create_topics

    def create_partitions(self, wanted, **_how):
        return SimpleNamespace(results=[self.taken])

    def describe_topics(self, names):
        shape = {"error_code": 0, "topic_id": "1", "partitions": [{"leader_id": -1}]}
        return [{"name": name} | shape for name in names]

    def close(self):
        """Nothing to do."""


@pytest.mark.parametrize(
    "change",
    [
        lambda admin: admin.create_topic("t", partitions=1),
        lambda admin: admin.grow_topic("t", partitions=2),
        lambda admin: admin.delete_topic("t"),
    ],
    ids=["create", "grow", "delete"],
)
def test_a_change_that_the_brokers_do_not_show_in_time_is_a_broker_that_does_not_answer(monkeypatch, change):
    """So whoever waits for a broker waits for this too, such as a worker that makes a topic for its dead letters."""
    monkeypatch.setattr(module, "connect", lambda *how, **settings: Slow())
    monkeypatch.setattr(module, "CHANGE_TIMEOUT", 0.01)
    admin = KafkaPythonAdmin(Connection(bootstrap_servers="nowhere:1"), Timeouts())
    with pytest.raises(BrokerUnreachable, match=r"^Kafka at nowhere:1 .* the topic 't' was to "):
        change(admin)


class Fenced(Slow):
    """kafka-python, with brokers that the controller has not heard for so many requests."""

    def __init__(self, requests):
        self.requests = requests

    def create_topics(self, shapes, **_how):
        self.requests -= 1
        if self.requests < 0:
            return super().create_topics(shapes)
        return {"topics": [{"error_code": 38, "error_message": "Unable: All brokers are currently fenced."}]}

    def describe_topics(self, names):
        return [found | {"partitions": [{"leader_id": 1}]} for found in super().describe_topics(names)]


def test_brokers_that_come_back_are_waited_for_before_a_topic_is_made(monkeypatch):
    monkeypatch.setattr(module, "connect", lambda *how, **settings: Fenced(3))
    admin = KafkaPythonAdmin(Connection(bootstrap_servers="nowhere:1"), Timeouts())
    assert admin.create_topic("t", partitions=1)


def test_brokers_that_do_not_come_back_are_away(monkeypatch):
    monkeypatch.setattr(module, "connect", lambda *how, **settings: Fenced(10**9))
    admin = KafkaPythonAdmin(Connection(bootstrap_servers="nowhere:1"), Timeouts(connect=0.1))
    with pytest.raises(BrokerUnreachable):
        admin.create_topic("t", partitions=1)


class Leaderless(Slow):
    """kafka-python, with a topic of two partitions, the first of which has no leader."""

    def describe_topics(self, names):
        partitions = [{"partition_index": number, "leader_id": leader} for number, leader in enumerate((-1, 2))]
        return [found | {"partitions": partitions} for found in super().describe_topics(names)]

    def list_partition_offsets(self, wanted):
        if kafka.TopicPartition("t", 0) in wanted:
            raise kafka_errors.UnknownBrokerIdError(-1)
        return {place: SimpleNamespace(offset=7) for place in wanted}


def test_a_partition_without_a_leader_is_a_broker_that_is_away_and_may_be_left_out(monkeypatch):
    monkeypatch.setattr(module, "connect", lambda *how, **settings: Leaderless())
    admin = KafkaPythonAdmin(Connection(bootstrap_servers="nowhere:1"), Timeouts())
    with pytest.raises(BrokerUnreachable):
        admin.end_offsets("t")
    assert admin.end_offsets("t", available_only=True) == {1: 7}
