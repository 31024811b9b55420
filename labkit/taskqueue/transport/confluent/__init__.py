"""The transport over confluent-kafka (librdkafka): the fast one."""

from __future__ import annotations

from labkit.lab.connection import Connection
from labkit.taskqueue.transport.confluent.consumer import ConfluentConsumer
from labkit.taskqueue.transport.confluent.producer import ConfluentProducer
from labkit.taskqueue.transport.confluent.share_groups import ConfluentShareGroups
from labkit.taskqueue.transport.confluent.transactions import ConfluentTransactions
from labkit.taskqueue.transport.contract import (
    AdminClient,
    ConsumerClient,
    ConsumerConfig,
    ProducerClient,
    ProducerConfig,
    TransactionClient,
)
from labkit.taskqueue.transport.library_logs import route_logs
from labkit.taskqueue.transport.share_contract import ShareGroups
from labkit.taskqueue.transport.values import Timeouts

__all__ = ["ConfluentTransport"]


class ConfluentTransport:
    """A way to one Kafka cluster through confluent-kafka."""

    name = "confluent-kafka"

    def __init__(self, connection: Connection, timeouts: Timeouts) -> None:
        self.connection: Connection | None = connection
        self._connection = connection
        self._timeouts = timeouts

    def producer(self, config: ProducerConfig) -> ProducerClient:
        """A new producer, connected."""
        return ConfluentProducer(self._connection, config, self._timeouts)

    def consumer(self, config: ConsumerConfig) -> ConsumerClient:
        """A new consumer, connected."""
        return ConfluentConsumer(self._connection, config, self._timeouts)

    def transactions(self, transactional_id: str) -> TransactionClient:
        """A new client for transactions, connected."""
        return ConfluentTransactions(self._connection, transactional_id, self._timeouts)

    def admin(self) -> AdminClient:
        """A new admin client, connected. It is kafka-python's.

        librdkafka's ends the whole process by a failed assertion when a broker goes away while it asks for members
        or offsets of a group.
        """
        from labkit.taskqueue.transport.kafka_python.admin import KafkaPythonAdmin  # workers do without

        route_logs("kafka")
        return KafkaPythonAdmin(self._connection, self._timeouts)

    def share_groups(self) -> ShareGroups:
        """Share groups (KIP-932)."""
        return ConfluentShareGroups(self._connection, self._timeouts)
