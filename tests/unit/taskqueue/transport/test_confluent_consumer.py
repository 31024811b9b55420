"""When the consumer over confluent-kafka calls back: while `poll` or `close` waits, and within no other call."""

from __future__ import annotations

import threading

import confluent_kafka
import pytest

from labkit.lab.connection import Connection
from labkit.taskqueue.transport.confluent import consumer as module
from labkit.taskqueue.transport.confluent.consumer import ConfluentConsumer
from labkit.taskqueue.transport.contract import ConsumerConfig, Position, TopicPartition
from labkit.taskqueue.transport.values import Timeouts

PLACE = TopicPartition("t", 0)
TIMEOUT = 60.0


class Library:
    """librdkafka: a poll that takes as long as it likes, inside of which the partitions are given and taken."""

    def __init__(self, *_args, **_settings) -> None:
        self.events = []
        self.begins, self.goes_on = threading.Event(), threading.Event()
        self.calls = []

    def subscribe(self, topics, *, on_assign, on_revoke, on_lost):
        partitions = [confluent_kafka.TopicPartition(*PLACE)]
        self.events.append(lambda: on_assign(self, partitions))
        self.revocation = lambda: on_revoke(self, partitions)

    def poll(self, timeout):
        self.begins.set()
        assert self.goes_on.wait(TIMEOUT)
        if self.events:
            self.events.pop(0)()
        self.calls.append("poll")

    def commit(self, *, offsets, asynchronous):
        self.calls.append("commit")
        return []

    def position(self, partitions):
        self.calls.append("position")
        return [confluent_kafka.TopicPartition(*PLACE, 7)]

    def committed(self, partitions, timeout):
        self.calls.append("committed")
        return []

    def seek(self, partition):
        self.calls.append("seek")

    def close(self):
        self.calls.append("close")

    def __getattr__(self, name):
        return lambda *args: []


@pytest.fixture
def library(monkeypatch):
    library = Library()
    monkeypatch.setattr(module, "connect", lambda *how, **settings: library)
    yield library
    library.goes_on.set()


@pytest.fixture
def seen():
    return []


@pytest.fixture
def consumer(library, seen):
    config = ConsumerConfig(group="g", client_id="c")
    consumer = ConfluentConsumer(Connection(bootstrap_servers="nowhere:1"), config, Timeouts())
    consumer.subscribe(
        ["t"],
        on_assigned=lambda partitions: seen.append("assigned"),
        on_revoked=lambda partitions: seen.append("revoked"),
    )
    library.goes_on.set()
    while not seen:
        assert consumer.poll(0.1) == []
    library.begins.clear()
    library.goes_on.clear()
    library.events.append(library.revocation)
    yield consumer
    library.goes_on.set()
    consumer.close()


def give_up_a_poll(library, consumer):
    """Not always the first: that one may be what is left of a poll in which the partitions were given."""
    while not library.begins.is_set():
        assert consumer.poll(0) == []


CALLS = {
    "commit": lambda consumer: consumer.commit({PLACE: Position(3)}),
    "position": lambda consumer: consumer.position(PLACE),
    "committed": lambda consumer: consumer.committed([PLACE]),
    "seek": lambda consumer: consumer.seek(PLACE, 3),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_rebalance_that_begins_in_a_poll_given_up_waits_for_the_next_poll(library, consumer, seen, call):
    """The partitions are still this member's until then; another call finds what it has left."""
    give_up_a_poll(library, consumer)
    library.goes_on.set()
    CALLS[call](consumer)
    assert call in library.calls
    assert seen == ["assigned"]
    while len(seen) < 2:
        assert consumer.poll(0.1) == []
    assert seen == ["assigned", "revoked"]
    assert consumer.assignment() == frozenset()


def test_a_rebalance_that_begins_in_a_poll_given_up_is_over_before_the_group_is_left(library, consumer, seen):
    give_up_a_poll(library, consumer)
    library.goes_on.set()
    consumer.commit({PLACE: Position(3)})
    consumer.close()
    assert seen == ["assigned", "revoked"]
    assert library.calls[-1] == "close"
    assert library.calls.index("commit") < len(library.calls) - 2
