"""Share groups where there are none, and the orders that they do not keep."""

import pytest

from labkit.errors import SettingsError, Unsupported
from labkit.lab.connection import Connection
from labkit.settings import Settings
from labkit.taskqueue import Topics, WorkerGroup
from labkit.taskqueue.engine.worker_config import WorkerConfig
from labkit.taskqueue.transport import connect_transport
from labkit.taskqueue.transport.memory import MemoryTransport

SETTINGS = Settings(_env_file=None)


def test_the_other_transports_say_which_one_has_share_groups():
    transports = MemoryTransport(), connect_transport(Connection(bootstrap_servers="nowhere:1"), "kafka-python")
    for transport in transports:
        with pytest.raises(
            Unsupported, match=f"'{transport.name}' has no share groups.*LABKIT_TRANSPORT=confluent-kafka"
        ):
            transport.share_groups()


def test_a_group_says_it_before_anything_starts():
    with Topics(MemoryTransport()) as topics:
        topic = topics.create("t", partitions=1)
        with pytest.raises(Unsupported, match="share groups"):
            WorkerGroup(topic, mode="share", settings=SETTINGS)


@pytest.mark.parametrize("order", ["partition", "key"])
def test_a_share_group_keeps_no_order(order):
    with pytest.raises(SettingsError, match=f"keeps no order, so the order '{order}' cannot be"):
        WorkerConfig(mode="share", order=order)
