"""The transport over kafka-python, the default: pure Python, so that its source can be read in class."""

from __future__ import annotations

from labkit.lab.connection import Connection
from labkit.taskqueue.transport.contract import (
    AdminClient,
    ConsumerClient,
    ConsumerConfig,
    ProducerClient,
    ProducerConfig,
    TransactionClient,
)
from labkit.taskqueue.transport.kafka_python.admin import KafkaPythonAdmin
from labkit.taskqueue.transport.kafka_python.consumer import KafkaPythonConsumer
from labkit.taskqueue.transport.kafka_python.producer import KafkaPythonProducer
from labkit.taskqueue.transport.kafka_python.transactions import KafkaPythonTransactions
from labkit.taskqueue.transport.library_logs import route_logs
from labkit.taskqueue.transport.share_contract import ShareGroups, no_share_groups
from labkit.taskqueue.transport.values import Timeouts

__all__ = ["KafkaPythonTransport"]


class KafkaPythonTransport:
    """A way to one Kafka cluster through kafka-python."""

    name = "kafka-python"

    def __init__(self, connection: Connection, timeouts: Timeouts) -> None:
        self.connection: Connection | None = connection
        self._connection = connection
        self._timeouts = timeouts
        route_logs("kafka")

    def producer(self, config: ProducerConfig) -> ProducerClient:
        """A new producer, connected."""
        return KafkaPythonProducer(self._connection, config, self._timeouts)

    def consumer(self, config: ConsumerConfig) -> ConsumerClient:
        """A new consumer, connected."""
        return KafkaPythonConsumer(self._connection, config, self._timeouts)

    def transactions(self, transactional_id: str) -> TransactionClient:
        """A new client for transactions, connected."""
        return KafkaPythonTransactions(self._connection, transactional_id, self._timeouts)

    def admin(self) -> AdminClient:
        """A new admin client, connected."""
        return KafkaPythonAdmin(self._connection, self._timeouts)

    def share_groups(self) -> ShareGroups:
        """There are none here: raises `Unsupported`."""
        no_share_groups(self.name)
