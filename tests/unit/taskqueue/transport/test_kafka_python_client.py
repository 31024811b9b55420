"""What labkit mends in the network client of kafka-python."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing

import pytest
from kafka.errors import KafkaConnectionError, KafkaTimeoutError, RetriableError
from kafka.future import Future
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaTCPTransport
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from labkit.taskqueue.transport.kafka_python import network_overrides
from labkit.taskqueue.transport.kafka_python.network_overrides import ThreadEnded, _BoundedSelector, _heard_out
from labkit.taskqueue.transport.values import UNREADABLE


def test_what_came_before_the_close_is_read_before_it():
    ours, theirs = socket.socketpair()
    with closing(NetworkSelector()) as net, ours:
        ours.setblocking(False)
        transport = _heard_out(KafkaTCPTransport(net, ours))
        theirs.sendall(b"refused")
        theirs.close()
        assert transport._sock_recv() == (b"refused", None)
        data, error = transport._sock_recv()
        assert data == b""
        assert isinstance(error, KafkaConnectionError)


@pytest.fixture
def net():
    with closing(_BoundedSelector(0.2)) as net:
        net.start()
        yield net


async def answer(value):
    return value


def never():
    return Future()


def test_a_call_gets_the_answer_or_the_error_of_the_io_thread(net):
    async def fail():
        raise LookupError("no")

    assert net.run(answer, 7) == 7
    assert net.run(lambda: Future().success(8)) == 8
    with pytest.raises(LookupError, match="no"):
        net.run(fail)


def test_a_call_that_is_never_answered_ends(net):
    with pytest.raises(KafkaTimeoutError, match="did not answer"):
        net.run(never)


def test_the_time_of_the_callers_own_callbacks_does_not_count(net, monkeypatch):
    monkeypatch.setattr(network_overrides, "_LOOK_INTERVAL", 0.01)
    under_way, late = object(), Future()
    net.callbacks.add(under_way)
    ended = threading.Timer(1.0, lambda: net.call_soon_threadsafe(lambda: late.success("done")))
    ended.start()
    assert net.run(lambda: late) == "done"  # five times the limit
    net.callbacks.discard(under_way)
    ended.join()


def test_the_time_for_which_the_process_stood_still_does_not_count(net, monkeypatch):
    """Its I/O thread stood still too, and brings the answer as soon as both go on."""
    monkeypatch.setattr(network_overrides, "_LOOK_INTERVAL", 0.01)
    monkeypatch.setattr(net, "_limit", 60.0)
    now, late = time.monotonic, Future()

    def go_on():
        monkeypatch.setattr(time, "monotonic", lambda: now() + 3600)
        threading.Event().wait(0.3)  # for many looks
        net.call_soon_threadsafe(lambda: late.success("done"))

    stopped = threading.Timer(0.3, go_on)
    stopped.start()
    assert net.run(lambda: late) == "done"
    stopped.join()


def test_a_call_notices_that_the_io_thread_has_ended(net, monkeypatch):
    monkeypatch.setattr(network_overrides, "_LOOK_INTERVAL", 0.01)
    monkeypatch.setattr(net, "_limit", 60.0)
    threading.Timer(0.1, net.stop).start()
    with pytest.raises(ThreadEnded):
        net.run(never)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_client_whose_io_thread_has_broken_down_says_so_at_every_call(net, monkeypatch):
    """And nothing that is tried again: neither of those who wait has an answer to hope for."""

    def fail(_):
        raise OSError("no more events")

    monkeypatch.setattr(network_overrides, "_LOOK_INTERVAL", 0.01)
    monkeypatch.setattr(net, "_limit", 60.0)
    threading.Timer(0.1, lambda: monkeypatch.setattr(net._selector, "select", fail) or net.wakeup()).start()
    for call in (lambda: net.run(never), lambda: net.run(answer, 1), lambda: net.call_soon_with_future(answer, 1)):
        with pytest.raises(ThreadEnded, match="no more events") as caught:
            call()
        assert not isinstance(caught.value, RetriableError)
    net.close()


def test_a_closed_client_says_so():
    net = _BoundedSelector(60.0)
    net.start()
    net.close()
    with pytest.raises(KafkaConnectionError, match="closed"):
        net.run(answer, 1)


def test_a_record_with_a_header_whose_name_is_no_utf_8_is_read_and_so_are_those_behind_it():
    builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=10_000)
    for number in range(3):
        builder.append(timestamp=5, key=b"k", value=b"%d" % number, headers=[("NAME", b"x"), ("b", b"y")])
    builder.close()
    bytes_of_batch = builder.buffer()
    where = bytes_of_batch.index(b"NAME", bytes_of_batch.index(b"NAME") + 1)
    [batch] = MemoryRecords(bytes_of_batch[:where] + b"N\xff\xfeE" + bytes_of_batch[where + 4 :])
    records = list(batch)
    assert [record.value for record in records] == [b"0", b"1", b"2"]
    usual = [("NAME", b"x"), ("b", b"y")]
    assert [records[0].headers, records[2].headers] == [usual, usual]
    assert records[1].headers[:2] == [(r"N\xff\xfeE", b"x"), ("b", b"y")]
    assert records[1].headers[2][0] == UNREADABLE
    assert type(records[1].key) is type(records[1].value) is bytes
