"""The admin client over kafka-python: what it waits for, and what it says when that does not come."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from labkit.errors import BrokerUnreachable
from labkit.lab.connection import Connection
from labkit.taskqueue.transport.kafka_python import admin as module
from labkit.taskqueue.transport.kafka_python.admin import KafkaPythonAdmin
from labkit.taskqueue.transport.values import Timeouts


class Slow:
    """kafka-python, with brokers that take every change and show none of it."""

    taken = SimpleNamespace(error_code=0, error_message=None)

    def create_topics(self, shapes, **_how):
        return {"topics": [{"error_code": 0, "error_message": None}]}

    delete_topics = create_topics

    def create_partitions(self, wanted, **_how):
        return SimpleNamespace(results=[self.taken])

    def describe_topics(self, names):
        shape = {"error_code": 0, "topic_id": "1", "partitions": [{"leader_id": -1}]}
        return [{"name": name} | shape for name in names]

    def close(self):
        """Nothing to do."""


@pytest.mark.parametrize(
    "change",
    [
        lambda admin: admin.create_topic("t", partitions=1),
        lambda admin: admin.grow_topic("t", partitions=2),
        lambda admin: admin.delete_topic("t"),
    ],
    ids=["create", "grow", "delete"],
)
def test_a_change_that_the_brokers_do_not_show_in_time_is_a_broker_that_does_not_answer(monkeypatch, change):
    """So whoever waits for a broker waits for this too, such as a worker that makes a topic for its dead letters."""
    monkeypatch.setattr(module, "connect", lambda *how, **settings: Slow())
    monkeypatch.setattr(module, "CHANGE_TIMEOUT", 0.01)
    admin = KafkaPythonAdmin(Connection(bootstrap_servers="nowhere:1"), Timeouts())
    with pytest.raises(BrokerUnreachable, match=r"^Kafka at nowhere:1 .* the topic 't' was to "):
        change(admin)
