"""The transport in memory: Kafka's groups, offsets, generations and rebalances without Kafka, for unit tests."""

from __future__ import annotations

import time
from collections.abc import Callable

from labkit.lab.connection import Connection
from labkit.parameters import checked
from labkit.taskqueue.transport.contract import ConsumerConfig, ProducerConfig
from labkit.taskqueue.transport.memory.admin import MemoryAdmin
from labkit.taskqueue.transport.memory.cluster import MemoryCluster
from labkit.taskqueue.transport.memory.consumer import MemoryConsumer
from labkit.taskqueue.transport.memory.producer import MemoryProducer, MemoryTransactions
from labkit.taskqueue.transport.share_contract import ShareGroups, no_share_groups

__all__ = ["MemoryAdmin", "MemoryConsumer", "MemoryProducer", "MemoryTransactions", "MemoryTransport"]


class MemoryTransport:
    """A cluster of its own, gone with this object. Its clients may live in any threads of this process.

    `clock` (seconds) stamps the records and decides when a member of a group counts as dead or late; hand in
    your own to let hours pass at once. How long a `poll` waits is real time.
    """

    name = "memory"
    connection: Connection | None = None

    @checked
    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._cluster = MemoryCluster(clock)

    def producer(self, config: ProducerConfig) -> MemoryProducer:
        """A new producer."""
        return MemoryProducer(self._cluster, config)

    def consumer(self, config: ConsumerConfig) -> MemoryConsumer:
        """A new consumer."""
        return MemoryConsumer(self._cluster, config)

    def transactions(self, transactional_id: str) -> MemoryTransactions:
        """A new client for transactions."""
        return MemoryTransactions(self._cluster, transactional_id)

    def admin(self) -> MemoryAdmin:
        """A new admin client."""
        return MemoryAdmin(self._cluster)

    def share_groups(self) -> ShareGroups:
        """There are none here: raises `Unsupported`."""
        no_share_groups(self.name)
