"""Why a transaction over librdkafka failed, also where a record was refused while the offsets were sent."""

from __future__ import annotations

import logging
import threading

import pytest
from confluent_kafka import KafkaError, KafkaException

from labkit.errors import BrokerUnreachable, NotAcknowledged
from labkit.lab.connection import Connection
from labkit.taskqueue.transport.confluent import transactions as module
from labkit.taskqueue.transport.confluent.client import close
from labkit.taskqueue.transport.confluent.transactions import ConfluentTransactions
from labkit.taskqueue.transport.values import Outgoing, Position, Timeouts, TopicPartition
from tests.conditions import PATIENCE

PLACE = TopicPartition("t", 0)


class Client:
    """As librdkafka when the refusal of a record comes while the offsets are under way."""

    def __init__(self, code):
        self.calls = []
        self.code = code

    def membership(self, _):
        return "a member"

    def send_offsets_to_transaction(self, *_):
        raise KafkaException(KafkaError(KafkaError._STATE))

    def commit_transaction(self, *_):
        raise KafkaException(KafkaError(self.code))

    def __getattr__(self, name):
        return lambda *_, **__: self.calls.append(name)


@pytest.mark.parametrize(
    ("code", "error"),
    [(KafkaError.MSG_SIZE_TOO_LARGE, NotAcknowledged), (KafkaError._INCONSISTENT, BrokerUnreachable)],
)
def test_the_reason_is_that_of_the_record(monkeypatch, code, error):
    """With the second one librdkafka says that a record was not sent in time."""
    client = Client(code)
    monkeypatch.setattr(module, "connect", lambda *_, **__: client)
    monkeypatch.setattr(module, "must_be_of", lambda *_: client)
    monkeypatch.setattr(ConfluentTransactions, "_look_up", lambda *_: None)
    transactions = ConfluentTransactions(Connection(bootstrap_servers="127.0.0.1:1"), "x", Timeouts())
    with pytest.raises(error):
        transactions.write([Outgoing("t", 0, None, b"large", ())], {PLACE: Position(3)}, consumer=None)
    assert "abort_transaction" in client.calls


def test_a_client_that_does_not_close_is_left_behind(monkeypatch, caplog):
    """It waits for its broker, whatever that does."""
    may_close = threading.Event()
    client = Client(KafkaError._STATE)
    client.close = lambda: may_close.wait(PATIENCE)
    monkeypatch.setattr(module, "connect", lambda *_, **__: client)
    transactions = ConfluentTransactions(Connection(bootstrap_servers="127.0.0.1:1"), "x", Timeouts(leave=0.1))
    with caplog.at_level(logging.WARNING):
        transactions.close()
    may_close.set()
    assert "did not close within 0.1 s, and is left behind" in caplog.text


def test_a_client_that_no_thread_can_close_is_left_behind(monkeypatch, caplog):
    """As when the interpreter ends: to close it here could wait without end."""

    def refuse(step):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("labkit.taskqueue.transport.confluent.client.on_a_thread", refuse)
    client = Client(KafkaError._STATE)
    with caplog.at_level(logging.WARNING):
        close(client, 0.1)
    assert "left behind" in caplog.text
    assert "close" not in client.calls
