"""One queue's refused record takes nothing from what other queues have under way over the same producer."""

from __future__ import annotations

import asyncio
import threading

import pytest

from labkit.api.messages.record_sender import OutgoingRecord, RecordSender
from labkit.errors import NotAcknowledged, UnknownTopic
from labkit.settings import Settings
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport.contract import RecordMetadata

TIMEOUT = 60.0
ACKNOWLEDGED = RecordMetadata(0, 7)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Producer:
    """Acknowledges slow topics when it is told to, as a broker that is late; refuses or does not know others."""

    def __init__(self, may_acknowledge):
        self._may_acknowledge = may_acknowledge
        self.under_way = []

    def send(self, topic, *, on_delivery, **_):
        if topic == "unknown":
            raise UnknownTopic
        if topic == "refused":
            on_delivery(None, NotAcknowledged("it is too large"))
        elif topic == "slow":
            self.under_way.append(on_delivery)
        else:
            on_delivery(ACKNOWLEDGED, None)

    def close(self, timeout):
        is_there = timeout > 0 and self._may_acknowledge.wait(timeout)
        for on_delivery in self.under_way:
            on_delivery(*((ACKNOWLEDGED, None) if is_there else (None, NotAcknowledged("purged"))))
        self.under_way.clear()


class Transport:
    def __init__(self):
        self.may_acknowledge = threading.Event()
        self.made = []

    def producer(self, config):
        self.made.append(Producer(self.may_acknowledge))
        return self.made[-1]


@pytest.fixture
def transport():
    return Transport()


@pytest.fixture
def sender(transport):
    sender = RecordSender(transport, Settings(_env_file=None))
    yield sender
    transport.may_acknowledge.set()
    sender.close()


def record(topic):
    return OutgoingRecord(topic, 0, None, b"value", ())


async def test_what_is_under_way_survives_the_refusal_of_another_record(transport, sender):
    slow = asyncio.create_task(sender.send([record("slow")]))
    await asyncio.to_thread(wait_until, lambda: transport.made[0].under_way, timeout=TIMEOUT, what="one is under way")
    [refusal] = await sender.send([record("refused")])
    assert isinstance(refusal, NotAcknowledged)
    assert await sender.send([record("orders")]) == [ACKNOWLEDGED]
    assert len(transport.made) == 2
    transport.may_acknowledge.set()
    assert await asyncio.wait_for(slow, TIMEOUT) == [ACKNOWLEDGED]


async def test_what_is_under_way_survives_a_caller_that_is_gone(transport, sender):
    slow, gone = (asyncio.create_task(sender.send([record("slow")])) for _ in range(2))
    under_way = lambda: len(transport.made[0].under_way) == 2  # noqa: E731
    await asyncio.to_thread(wait_until, under_way, timeout=TIMEOUT, what="both to be under way")
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await sender.send([record("orders")]) == [ACKNOWLEDGED]
    transport.may_acknowledge.set()
    assert await asyncio.wait_for(slow, TIMEOUT) == [ACKNOWLEDGED]


async def test_a_topic_that_is_gone_says_nothing_of_the_producer(transport, sender):
    [refusal] = await sender.send([record("unknown")])
    assert isinstance(refusal, UnknownTopic)
    assert await sender.send([record("orders")]) == [ACKNOWLEDGED]
    assert len(transport.made) == 1


async def test_what_is_under_way_to_a_topic_that_is_gone_is_given_up_at_once(transport, sender):
    slow = asyncio.create_task(sender.send([record("slow")]))
    await asyncio.to_thread(wait_until, lambda: transport.made[0].under_way, timeout=TIMEOUT, what="one is under way")
    sender.discard()
    [outcome] = await asyncio.wait_for(slow, TIMEOUT)
    assert str(outcome) == "purged"
    assert await sender.send([record("quick")]) == [ACKNOWLEDGED]
    assert len(transport.made) == 2
