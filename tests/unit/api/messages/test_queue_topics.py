"""The topics of the queues while somebody deletes them and makes them anew, without a server."""

from __future__ import annotations

import asyncio
import threading

import pytest

from labkit.api.messages import queue_topics
from labkit.api.messages.queue_topics import GONE_AFTER, QueueTopics
from labkit.errors import BrokerUnreachable, UnknownQueue, UnknownTopic
from labkit.taskqueue import Topics
from labkit.taskqueue.transport.memory import MemoryTransport
from tests.conditions import FOR_EVER, PATIENCE, eventually

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def kafka():
    with Topics(MemoryTransport(), prefix="p.") as kafka:
        yield kafka


@pytest.fixture
def changes():
    return []


@pytest.fixture
def queues(kafka, changes):
    queues = QueueTopics(kafka, ["orders", "emails"], on_change=lambda: changes.append(True))
    queues.open()
    yield queues
    queues.close()


async def test_a_topic_that_is_as_before_stays_and_grows(queues, kafka, changes):
    before = queues["orders"]
    kafka.grow("orders", partitions=5)
    assert await queues.is_same(before)
    assert queues.living("orders") is before
    assert before.partitions == 5
    assert not changes


async def test_a_topic_made_anew_is_another_with_names_of_its_own(queues, kafka, changes):
    before = queues["orders"]
    kafka.recreate("orders", partitions=1)
    kafka.delete("orders.dead")
    assert not await queues.is_same(before)
    after = queues.living("orders")
    assert (after.partitions, before.partitions) == (1, 2)
    assert after.names.base != before.names.base
    assert after.ends == {}
    assert "orders.dead" in kafka.names()
    assert len(changes) == 1
    assert await queues.is_same(after)
    assert len(changes) == 1


async def test_a_topic_is_gone_when_it_was_missed_repeatedly_and_named_until_it_is_back(queues, kafka, changes, caplog):
    before = queues["orders"]
    kafka.delete("orders")
    with pytest.raises(UnknownTopic, match="'orders' of this queue is gone"):
        await queues.is_same(before)
    for _ in range(GONE_AFTER):
        assert queues.living("orders") is before, "it may be about to be made anew"
        await queues.watch("orders")
    await queues.watch("orders")
    assert caplog.text.count("The topic 'orders' of a queue is gone") == 1
    assert queues.is_gone("orders")
    assert queues.known("orders") is before
    assert not queues.is_gone("emails")
    with pytest.raises(UnknownTopic, match="Make it anew"):
        queues.living("orders")
    kafka.create("orders", partitions=3)
    await queues.watch("orders")
    assert queues.living("orders").partitions == 3
    assert len(changes) == 2
    with pytest.raises(UnknownQueue, match="there are orders, emails"):
        queues.living("nothing")


@pytest.fixture
def silent(queues, monkeypatch):
    """Set it, and Kafka answers; `answers` are then those that have been given."""
    answered = threading.Event()
    asked: list[str] = []
    find = queue_topics.find_topic

    def find_later(kafka, name):
        asked.append(name)
        assert answered.wait(PATIENCE)
        return find(kafka, name)

    monkeypatch.setattr(queue_topics, "find_topic", find_later)
    answered.asked = asked
    yield answered
    answered.set()


async def test_who_asks_while_kafka_is_silent_waits_for_a_while_and_goes_by_what_is_known(queues, silent, monkeypatch):
    monkeypatch.setattr(queue_topics, "LOOK_TIMEOUT", 0.05)
    assert await queues.is_same(queues["orders"])
    silent.set()
    monkeypatch.setattr(queue_topics, "LOOK_TIMEOUT", FOR_EVER)
    assert await queues.is_same(queues["orders"])


async def test_many_that_ask_at_once_share_a_question_that_was_not_put_before_they_came(queues, kafka, silent):
    before = queues["orders"]
    early = asyncio.create_task(queues.is_same(before))
    await eventually(lambda: bool(silent.asked), "the question was to be put")
    kafka.recreate("orders", partitions=2)
    late = [asyncio.create_task(queues.is_same(before)) for _ in range(100)]
    await asyncio.sleep(0)
    silent.set()
    assert await asyncio.gather(*late) == [False] * 100
    await early
    assert silent.asked == ["orders", "orders"]


async def test_a_broker_that_is_away_changes_nothing(queues, changes, monkeypatch):
    def away(_kafka, _name):
        raise BrokerUnreachable

    monkeypatch.setattr(queue_topics, "find_topic", away)
    assert await queues.is_same(queues["orders"])
    with pytest.raises(BrokerUnreachable):
        await queues.watch("orders")
    assert not queues.is_gone("orders")
    assert not changes
