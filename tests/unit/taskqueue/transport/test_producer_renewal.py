"""A producer over a client library whose client has to be made anew, and the threads that have records under way."""

from __future__ import annotations

import logging
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from types import SimpleNamespace

import pytest
from confluent_kafka import Producer
from kafka.future import Future

from labkit.errors import TransportError
from labkit.lab.connection import Connection
from labkit.taskqueue.transport.confluent import producer as confluent
from labkit.taskqueue.transport.contract import ProducerConfig
from labkit.taskqueue.transport.kafka_python import producer as kafka_python
from labkit.taskqueue.transport.retirement import call_back
from labkit.taskqueue.transport.values import Timeouts

CONNECTION = Connection(bootstrap_servers="127.0.0.1:1")


class Library:
    """A client of a library that takes its time to close."""

    #: what is under way: nothing
    _accumulator = SimpleNamespace(_incomplete=SimpleNamespace(all=list))

    def __init__(self):
        self.closes, self.may_close = threading.Event(), threading.Event()

    def poll(self, timeout):
        self.closes.wait(timeout)

    def flush(self, timeout):
        return 0

    def __len__(self):
        return 0

    def purge(self, **_):
        """Nothing is under way."""

    def close(self, *_):
        self.closes.set()
        assert self.may_close.wait(60)


@pytest.fixture
def over_confluent(monkeypatch):
    monkeypatch.setattr(confluent, "connect", lambda *_, **__: Library())
    return confluent.ConfluentProducer(CONNECTION, ProducerConfig(), Timeouts())


@pytest.fixture
def over_kafka_python(monkeypatch):
    for name, replacement in {
        "connect": lambda *_, **__: Library(),
        "make_lasting": lambda client: None,
        "is_beyond_help": lambda client: True,
        "last_error": lambda client: None,
        "discard": Library.close,
    }.items():
        monkeypatch.setattr(kafka_python, name, replacement)
    return kafka_python.KafkaPythonProducer(CONNECTION, ProducerConfig(), Timeouts())


@pytest.mark.parametrize("library", ["over_confluent", "over_kafka_python"])
def test_a_flush_waits_until_the_client_before_has_refused_what_was_left(request, library):
    """A thread whose records were in the client that another one has made anew would have no outcome of them."""
    producer = request.getfixturevalue(library)
    producer._timeouts = Timeouts(leave=60.0)  # for the client to close
    broken = producer._client
    with ThreadPoolExecutor(2) as threads:
        renewed = threads.submit(producer._renew, *([broken] if library == "over_confluent" else []))
        assert broken.closes.wait(60)
        flushed = threads.submit(producer.flush, 5.0)
        wait([flushed], timeout=0.2)  # it would be through if it did not wait; else this takes nothing from the test
        is_through = flushed.done()
        broken.may_close.set()
        flushed.result(60)
        renewed.result(60)
    assert not is_through
    assert producer._client is not broken
    producer._client.may_close.set()
    producer.close(0.0)


@pytest.mark.parametrize("library", ["over_confluent", "over_kafka_python"])
def test_a_close_lets_go_of_the_client_that_is_being_made_too(request, library, monkeypatch):
    producer, new = request.getfixturevalue(library), Library()
    broken, connects, may_connect = producer._client, threading.Event(), threading.Event()

    def connect(*_, **__):
        connects.set()
        assert may_connect.wait(60)
        return new

    monkeypatch.setattr(confluent if library == "over_confluent" else kafka_python, "connect", connect)
    broken.may_close.set()
    new.may_close.set()
    with ThreadPoolExecutor(2) as threads:
        renewed = threads.submit(producer._renew, *([broken] if library == "over_confluent" else []))
        assert connects.wait(60)
        closed = threads.submit(producer.close, 0.0)
        wait([closed], timeout=0.2)  # it would be through if it did not wait
        may_connect.set()
        closed.result(60)
        renewed.result(60)
    assert new.closes.is_set()


@pytest.mark.parametrize("library", ["over_confluent", "over_kafka_python"])
def test_ctrl_c_while_a_close_waits_ends_the_wait_and_not_the_close(request, library, monkeypatch):
    presses = iter([True])

    def flush(client, timeout):
        if next(presses, False):
            os.kill(os.getpid(), signal.SIGINT)
        return 0 if client.closes.is_set() else 1

    monkeypatch.setattr(Library, "flush", flush)
    producer = request.getfixturevalue(library)
    producer._client.may_close.set()
    with pytest.raises(KeyboardInterrupt):
        producer.close(60.0)
    assert producer._client.closes.is_set()


@pytest.mark.parametrize("is_joined", [False, True])
@pytest.mark.parametrize("library", ["over_confluent", "over_kafka_python"])
def test_what_a_client_that_is_given_up_calls_back_may_flush_and_make_the_next_one_anew(
    request, monkeypatch, library, is_joined
):
    """On the thread that closes it, and on one of the library's for whose end the close waits."""
    producer = request.getfixturevalue(library)
    broken, seen, broken_is_closed = producer._client, [], threading.Event()

    def renew(client):
        producer._renew(*([client] if library == "over_confluent" else []))

    def on_receipt():
        producer.flush(60.0)
        renew(producer._client)
        producer.flush(60.0)
        seen.append((producer._client, broken_is_closed.is_set()))

    def close(client, *_):
        if client is not broken:
            return
        calls_back = threading.Thread(target=call_back, args=(on_receipt,), daemon=True)
        if is_joined:
            calls_back.start()
            calls_back.join(30)
        else:
            call_back(on_receipt)
        broken_is_closed.set()

    monkeypatch.setattr(Library, "close", close)
    monkeypatch.setattr(kafka_python, "discard", close)
    renews = threading.Thread(target=renew, args=(broken,), daemon=True)
    renews.start()
    renews.join(60)
    assert not renews.is_alive()
    assert seen == [(producer._client, False)], "it was through before the close was"
    producer.flush(60.0)
    producer.close(0.0)


def test_a_client_that_another_thread_has_closed_is_a_closed_one(monkeypatch):
    """What librdkafka's wrapper says of it is no error of labkit."""
    closed = Producer({"bootstrap.servers": CONNECTION.bootstrap_servers})
    closed.close()
    monkeypatch.setattr(confluent, "connect", lambda *_, **__: closed)
    producer = confluent.ConfluentProducer(CONNECTION, ProducerConfig(), Timeouts())
    producer._closed.set()
    producer._server.join(60)
    producer._known.add("t")
    producer.flush(1.0)
    with pytest.raises(TransportError, match="closed"):
        producer.send(
            "t", partition=0, key=None, value=b"x", headers=(), timestamp_ms=None, on_delivery=lambda *_: None
        )


def test_a_partition_that_kafka_python_hears_of_a_moment_too_late_gets_its_record(over_kafka_python, monkeypatch):
    monkeypatch.setattr(kafka_python, "is_beyond_help", lambda client: False)
    answers = [Future(), ValueError("Unrecognized partition")]

    def send(*_):
        answer = answers.pop()
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = over_kafka_python._client
    monkeypatch.setattr(client, "send", send, raising=False)
    monkeypatch.setattr(client, "partitions_for", lambda topic: {0}, raising=False)
    over_kafka_python.send(
        "t", partition=0, key=None, value=b"x", headers=(), timestamp_ms=None, on_delivery=lambda *_: None
    )
    assert not answers
    client.may_close.set()
    over_kafka_python.close(0.0)


@pytest.mark.parametrize("thread", ["main", "another"])
def test_a_client_that_does_not_close_is_left_behind(monkeypatch, caplog, thread):
    monkeypatch.setattr(confluent, "connect", lambda *_, **__: Library())
    producer = confluent.ConfluentProducer(CONNECTION, ProducerConfig(), Timeouts(leave=0.1))
    client = producer._client
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(1) as threads:
        if thread == "main":
            producer.close(0.0)
        else:
            threads.submit(producer.close, 0.0).result(60)
    assert client.closes.is_set()
    client.may_close.set()
    assert "did not close within 0.1 s, and is left behind" in caplog.text
