"""A consumer over confluent-kafka whose poll was waited for in vain, as on a busy machine: its records come next."""

from __future__ import annotations

import threading

import pytest

from labkit.taskqueue.transport import TopicPartition, connect_transport
from tests.contract.fixtures import TIMEOUT, admin, outbox, read, reader, topic  # noqa: F401 - fixtures

VALUES = [b"one", b"two", b"three"]


@pytest.fixture(scope="module")
def transport(lab):
    return connect_transport(lab.connection, "confluent-kafka")


@pytest.fixture
def place(topic, outbox):  # noqa: F811
    outbox.send_all(topic, VALUES)
    return TopicPartition(topic, 0)


@pytest.fixture
def late(reader, place, monkeypatch):  # noqa: F811
    """The reader, after a poll that came back empty while its records were there and the client had them."""
    reader.assign([place])
    fetch, fetched, let_go = reader._reader.fetch, threading.Event(), threading.Event()

    def slow(timeout, limit):
        records = fetch(TIMEOUT, limit)
        fetched.set()
        assert let_go.wait(TIMEOUT)
        return records

    with monkeypatch.context() as patch:
        patch.setattr(reader._reader, "fetch", slow)
        assert reader.poll(0) == []
        assert fetched.wait(TIMEOUT)
        let_go.set()
    return reader


def test_the_position_is_before_what_no_poll_has_given_out(late, place):
    assert late.position(place) == 0
    assert [record.value for record in read(late, 3)] == VALUES
    assert late.position(place) == 3


def test_after_a_seek_it_is_not_given_out(late, place):
    late.seek(place, 2)
    assert [record.value for record in read(late, 1)] == VALUES[2:]


def test_after_another_assignment_it_is_not_given_out(late, place, outbox):  # noqa: F811
    outbox.send_all(place.topic, [b"other"], partition=1)
    late.assign([TopicPartition(place.topic, 1)])
    assert [record.value for record in read(late, 1)] == [b"other"]
