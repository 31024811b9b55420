"""The admin client over kafka-python: what it waits for, and what it says when that does not come."""

from __future__ import annotations

from types import SimpleNamespace

import kafka
import kafka.errors as kafka_errors
import pytest

from labkit.errors import BrokerUnreachable
from labkit.lab.connection import Connection
from labkit.taskqueue.transport.kafka_python import admin as module
from labkit.taskqueue.transport.kafka_python import group_admin
from labkit.taskqueue.transport.kafka_python.admin import KafkaPythonAdmin
from labkit.taskqueue.transport.values import Timeouts


class Slow:
    """kafka-python, with brokers that take every change and show none of it."""

    taken = SimpleNamespace(error_code=0, error_message=None)
    _manager = SimpleNamespace(cluster=SimpleNamespace(_coordinators={}))
    _net = SimpleNamespace(_exception=None)

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
    admin = KafkaPythonAdmin(Connection(bootstrap_servers="nowhere:1"), Timeouts(connect=0.1))
    with pytest.raises(BrokerUnreachable):
        admin.end_offsets("t")
    assert admin.end_offsets("t", available_only=True) == {1: 7}


class Described(Slow):
    """kafka-python, with a topic whose settings one broker is asked for after the other; the last one knows them."""

    def __init__(self, monkeypatch, *codes):
        self.codes = list(codes)
        monkeypatch.setattr(module, "connect", lambda *how, **settings: self)
        monkeypatch.setattr(module, "ask_broker", lambda client, request: SimpleNamespace(results=[self.result()]))

    def describe_topics(self, names):
        shape = [{"leader_id": 1, "replica_nodes": [1]}]
        return [found | {"partitions": shape} for found in super().describe_topics(names)]

    def result(self):
        code = self.codes.pop(0) if self.codes else 0
        own = [SimpleNamespace(name="retention.ms", value="5", config_source=source) for source in (1, 5)]
        return SimpleNamespace(error_code=code, error_message="no", configs=[] if code else own)


NO_SUCH_TOPIC, NOT_ALLOWED = 3, 29


@pytest.mark.parametrize(
    ("codes", "settings"),
    [([], {"retention.ms": "5"}), ([NO_SUCH_TOPIC] * 2, {"retention.ms": "5"}), ([NOT_ALLOWED], {})],
)
def test_the_settings_of_a_topic_are_its_own_also_where_a_broker_lags_behind(monkeypatch, codes, settings):
    client = Described(monkeypatch, *codes)
    admin = KafkaPythonAdmin(Connection(bootstrap_servers="nowhere:1"), Timeouts())
    assert admin.describe_topic("t").config == settings
    assert not client.codes


MOVED, AWAY, NO_SUCH_GROUP = 16, 15, 69


def test_the_members_of_a_group_whose_coordinator_has_moved_are_asked_for_again(monkeypatch):
    codes = [MOVED, AWAY, 0, NO_SUCH_GROUP]
    monkeypatch.setattr(module, "connect", lambda *how, **settings: Slow())
    monkeypatch.setattr(
        group_admin,
        "ask_broker",
        lambda client, request, group: SimpleNamespace(groups=[SimpleNamespace(error_code=codes.pop(0), members=[])]),
    )
    admin = KafkaPythonAdmin(Connection(bootstrap_servers="nowhere:1"), Timeouts())
    assert admin.members("group") == {}
    assert codes == [NO_SUCH_GROUP]
    assert admin.members("group") == {}


class Broken(Slow):
    """kafka-python, whose I/O thread has ended."""

    _net = SimpleNamespace(_exception=OSError("no more events"))
    is_closed = False

    def close(self):
        self.is_closed = True


def test_a_client_that_has_broken_down_is_made_anew_for_the_next_question(monkeypatch):
    broken, whole = Broken(), Fenced(0)
    clients = [whole, broken]
    monkeypatch.setattr(module, "connect", lambda *how, **settings: clients.pop())
    admin = KafkaPythonAdmin(Connection(bootstrap_servers="nowhere:1"), Timeouts())
    assert not broken.is_closed
    assert admin.topic_ids(["t"]) == {"t": "1"}
    assert broken.is_closed
    assert admin.create_topic("t", partitions=1)
