"""Real brokers for submissions: gone afterwards, with all that they store, also if they are filled up or killed."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from labkit import new_task
from labkit.errors import BrokerFailed, BrokerUnreachable
from labkit.grading import broker_pool
from labkit.grading.broker_pool import BrokerPool, SubmissionBroker
from labkit.taskqueue import Producer, Topics
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport import connect_transport
from tests.conditions import PATIENCE

GRADER = """
from labkit.grading.broker_pool import BrokerPool
with BrokerPool(most=1) as pool, pool.take() as broker:
    print(broker.pid, broker._lab.data_folder, flush=True)
    input()
"""


def topics_of(broker: SubmissionBroker) -> Topics:
    return Topics(connect_transport(broker.connection, "kafka-python"))


def test_a_broker_is_new_and_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is filled up is ended, and it is said; the next one knows nothing of it."""
    monkeypatch.setattr(broker_pool, "PARTITIONS", 8)
    with BrokerPool(most=1) as pool:
        with pool.take() as broker, topics_of(broker) as topics:
            folder, pid = broker._lab.data_folder, broker.pid
            with Producer(topics.create("tasks", partitions=2)) as producer:
                producer.send_many([new_task("one")])
            assert broker.used_up() is None
            with suppress(BrokerUnreachable):  # it may be ended before it has answered
                topics.create("many", partitions=9)
            wait_until(lambda: broker.used_up() is not None, timeout=PATIENCE, what="it was to be ended")
            assert "more than 8 partitions" in (broker.used_up() or "")
        assert not folder.exists()
        assert pid is not None
        assert not psutil.pid_exists(pid)
        with pool.take() as broker, topics_of(broker) as topics:
            assert topics.names() == []
            promise_much(broker)
            assert topics.names() == []
            assert broker.used_up() is None
            monkeypatch.setattr(broker_pool, "STORED", 1000)
            wait_until(lambda: broker.used_up() is not None, timeout=PATIENCE, what="it was to be ended")
            assert "MiB to its broker" in (broker.used_up() or "")


def promise_much(broker: SubmissionBroker) -> None:
    """Requests of 100 MB each, of which nothing comes: the broker hangs up, instead of making room for them."""
    with ExitStack() as connections:
        for _ in range(20):
            connection = connections.enter_context(socket.create_connection(("127.0.0.1", broker.port), PATIENCE))
            connection.sendall((100_000_000).to_bytes(4, "big"))
            assert connection.recv(1) == b""


@pytest.mark.long
def test_brokers_end_with_a_grader_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", GRADER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as grader:
        assert grader.stdout is not None
        pid, folder = grader.stdout.readline().decode().split(maxsplit=1)
        process = psutil.Process(int(pid))
        grader.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)
    wait_until(lambda: not Path(folder.strip()).exists(), timeout=PATIENCE, what="its data were to be deleted")


@pytest.mark.long
def test_a_broker_that_dies_is_the_grader_s_own_trouble() -> None:
    with BrokerPool(most=1) as pool, pool.take() as broker:
        assert broker.pid is not None
        psutil.Process(broker.pid).kill()
        wait_until(lambda: broker.pid is None, timeout=PATIENCE, what="it was to end")
        with pytest.raises(BrokerFailed):
            broker.used_up()
