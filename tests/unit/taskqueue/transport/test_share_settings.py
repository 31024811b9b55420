"""The settings of a share group: it does not begin before the broker has them."""

from __future__ import annotations

from concurrent.futures import Future

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigEntry, ConfigSource

from labkit.errors import BrokerUnreachable, NotAuthorized, TransportError, Unsupported
from labkit.lab.connection import Connection
from labkit.taskqueue.transport.confluent import share_groups, share_settings
from labkit.taskqueue.transport.share_contract import ShareConfig
from labkit.taskqueue.transport.values import Timeouts

CONNECTION = Connection(bootstrap_servers="127.0.0.1:1")


class LateBroker:
    """Takes settings at once and has them only when it is asked for the `looks`th time, as under load."""

    def __init__(self, looks):
        self.looks = looks
        self.taken = {}
        self.given = []

    def incremental_alter_configs(self, resources, **_):
        [resource] = resources
        self.given.append([entry.name for entry in resource.incremental_configs])
        self.taken |= {entry.name: standing(entry.name, entry.value) for entry in resource.incremental_configs}
        return {resource: answered(None)}

    def describe_configs(self, resources, **_):
        self.looks -= 1
        unset = {name: standing(name, "latest", ConfigSource.DEFAULT_CONFIG) for name in self.taken}
        return {resources[0]: answered(unset if self.looks > 0 else self.taken)}


def standing(name, value, source=ConfigSource.GROUP_CONFIG):
    """A setting as the broker tells it."""
    return ConfigEntry(name, value, source=source.value)


def answered(value):
    future = Future()
    future.set_result(value)
    return future


def configure(monkeypatch, broker, timeouts):
    monkeypatch.setattr(share_settings, "connect", lambda *_, **__: broker)
    share_settings.ShareSettings(CONNECTION, ShareConfig(group="g"), timeouts).make()


def test_a_group_begins_when_the_broker_has_its_settings(monkeypatch):
    """One that begins before begins at the end of its topics, and what is there already is delivered to nobody."""
    broker = LateBroker(looks=3)
    configure(monkeypatch, broker, Timeouts())
    assert broker.looks == 0
    assert broker.taken["share.auto.offset.reset"].value == "earliest"


def test_a_broker_that_never_has_them_is_not_waited_for_without_end(monkeypatch):
    with pytest.raises(TransportError, match="the share group 'g', and after"):
        configure(monkeypatch, LateBroker(looks=1_000_000), Timeouts(connect=0.05, request=0.05))


class Member:
    """As librdkafka's client: the first ones find no such group."""

    without_a_group = 0

    def __init__(self, made):
        self.calls = []
        self.finds_none = len(made) < Member.without_a_group
        made.append(self)

    def poll(self, _):
        if self.finds_none:
            raise KafkaException(KafkaError(KafkaError.GROUP_ID_NOT_FOUND))
        return []

    def __getattr__(self, name):
        return lambda *arguments: self.calls.append((name, *arguments))


@pytest.fixture
def made(monkeypatch):
    """All clients that were made, in order."""
    found: list[Member] = []
    monkeypatch.setattr(share_groups, "ShareConsumer", lambda _: Member(found))
    return found


def consumer_on(monkeypatch, *brokers):
    """A member of a group, on these brokers one after the other; each is one or an error."""
    left = list(brokers)

    def connect(*_, **__):
        broker = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(broker, Exception):
            raise broker
        return broker

    monkeypatch.setattr(share_settings, "connect", connect)
    consumer = share_groups.ConfluentShareConsumer(CONNECTION, ShareConfig(group="g"), Timeouts())
    consumer.subscribe(["t"])
    return consumer


def test_on_a_broker_that_came_back_as_another_the_group_has_its_settings_before_it_is_joined(monkeypatch, made):
    monkeypatch.setattr(share_groups, "JOINED_AFTER", -1.0)
    monkeypatch.setattr(Member, "without_a_group", 1)
    second = LateBroker(looks=0)
    consumer = consumer_on(monkeypatch, LateBroker(looks=0), BrokerUnreachable(), second)
    assert consumer.poll(0) == []
    with pytest.raises(BrokerUnreachable):  # as while it starts
        consumer.poll(0)
    assert not second.taken
    assert consumer.poll(0) == []
    assert second.taken
    assert [member.calls[0] for member in made] == [("subscribe", ["t"])] * 2
    assert ("close",) in made[0].calls
    assert consumer.poll(0) == []
    assert len(made) == 2


def test_a_group_that_never_was_a_share_group_is_refused(monkeypatch, made):
    monkeypatch.setattr(Member, "without_a_group", 9)
    consumer = consumer_on(monkeypatch, LateBroker(looks=0))
    with pytest.raises(TransportError, match="'g' is no share group"):
        consumer.poll(0)


def test_settings_that_somebody_has_deleted_are_set_again(monkeypatch, made):
    broker = LateBroker(looks=0)
    consumer = consumer_on(monkeypatch, broker)
    broker.taken = {}
    consumer.poll(0)
    assert not broker.taken
    monkeypatch.setattr(share_groups, "SETTINGS_INTERVAL", -1.0)
    consumer.poll(0)
    assert broker.taken["share.auto.offset.reset"].value == "earliest"


LOCK = "share.record.lock.duration.ms"


@pytest.mark.parametrize("source", [ConfigSource.DEFAULT_CONFIG, ConfigSource.STATIC_BROKER_CONFIG])
def test_only_what_the_group_does_not_have_is_set_again(monkeypatch, made, source):
    monkeypatch.setattr(share_groups, "SETTINGS_INTERVAL", -1.0)
    broker = LateBroker(looks=0)
    consumer = consumer_on(monkeypatch, broker)
    broker.taken["share.isolation.level"] = standing("share.isolation.level", "read_uncommitted", source)
    consumer.poll(0)
    assert broker.given[1:] == [["share.isolation.level"]]
    consumer.poll(0)
    assert len(broker.given) == 2


def test_two_programs_with_different_locks_do_not_set_them_in_turns(monkeypatch, made, caplog):
    monkeypatch.setattr(share_groups, "SETTINGS_INTERVAL", -1.0)
    broker = LateBroker(looks=0)
    consumer = consumer_on(monkeypatch, broker)
    assert consumer.lock == 30
    broker.taken[LOCK] = standing(LOCK, "60000")
    for _ in range(3):
        consumer.poll(0)
    assert (broker.taken[LOCK].value, len(broker.given), consumer.lock) == ("60000", 1, 60)
    assert caplog.text.count("last 60 s now and not 30 s") == 1


@pytest.mark.parametrize(("timeout", "expected"), [(60.0, BrokerUnreachable), (-1.0, Unsupported)])
def test_a_broker_that_just_starts_may_refuse_the_group_for_a_while(monkeypatch, made, timeout, expected):
    monkeypatch.setattr(share_groups, "JOINED_AFTER", -1.0)
    monkeypatch.setattr(share_groups, "START_TIMEOUT", timeout)
    monkeypatch.setattr(Member, "without_a_group", 1)
    consumer = consumer_on(monkeypatch, LateBroker(looks=0), Unsupported("not yet"), LateBroker(looks=0))
    assert consumer.poll(0) == []
    with pytest.raises(expected, match="not yet"):
        consumer.poll(0)
    assert consumer.poll(0) == []
    assert len(made) == 2


def test_who_is_not_let_in_on_the_broker_that_came_back_is_told_at_once(monkeypatch, made):
    monkeypatch.setattr(share_groups, "JOINED_AFTER", -1.0)
    monkeypatch.setattr(Member, "without_a_group", 1)
    consumer = consumer_on(monkeypatch, LateBroker(looks=0), NotAuthorized("no"))
    assert consumer.poll(0) == []
    with pytest.raises(NotAuthorized):
        consumer.poll(0)
