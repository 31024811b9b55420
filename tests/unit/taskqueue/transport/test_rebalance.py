"""The callbacks of a rebalance over kafka-python, beside which its event loop goes on with the heartbeats."""

from __future__ import annotations

import threading
from contextlib import closing
from types import SimpleNamespace

import kafka
import pytest

from labkit.taskqueue.transport.contract import TopicPartition
from labkit.taskqueue.transport.kafka_python.network_overrides import _BoundedSelector
from labkit.taskqueue.transport.kafka_python.rebalance import RebalanceListener
from tests.conditions import PATIENCE
from tests.refused_threads import refuse_threads

PLACES = [kafka.TopicPartition("orders", 0)]


@pytest.fixture
def client():
    """As much of a consumer as a listener needs: its event loop, and what it is told to forget."""
    with closing(_BoundedSelector(PATIENCE)) as net:
        net.start()
        yield SimpleNamespace(_net=net, _subscription=SimpleNamespace(assign_from_subscribed=lambda _: None))


async def answer():
    return "a heartbeat"


@pytest.mark.parametrize("event", ["on_partitions_revoked", "on_partitions_assigned"])
def test_the_event_loop_goes_on_while_a_callback_waits(client, event):
    heard = []

    def callback(partitions):
        """Waits for what only the event loop can do."""
        heard.append((partitions, client._net.run(answer), threading.current_thread().name))

    listener = RebalanceListener(client, callback, callback)
    client._net.run(getattr(listener, event), PLACES)
    assert heard == [([TopicPartition("orders", 0)], "a heartbeat", "labkit-rebalance")]
    assert client._net.callbacks == set()


def test_what_a_callback_raises_is_for_the_caller_of_poll(client):
    def callback(_):
        raise LookupError("no")

    listener = RebalanceListener(client, callback, callback)
    client._net.run(listener.on_partitions_revoked, PLACES)
    assert isinstance(listener.error, LookupError)


def test_where_no_thread_can_be_started_nobody_waits_for_the_callback_and_poll_says_so(client, monkeypatch):
    refuse_threads(monkeypatch, "labkit-rebalance")
    listener = RebalanceListener(client, pytest.fail, pytest.fail)
    client._net.run(listener.on_partitions_revoked, PLACES)
    assert str(listener.error) == "can't start new thread"
    assert client._net.callbacks == set()
