"""The ways to a Kafka cluster, behind one contract (`labkit.taskqueue.transport.contract`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.errors import SettingsError
from labkit.taskqueue.transport.contract import (
    AdminClient,
    ConsumerClient,
    ConsumerConfig,
    Headers,
    Outgoing,
    Position,
    ProducerClient,
    ProducerConfig,
    Record,
    RecordMetadata,
    TopicDescription,
    TopicPartition,
    TransactionClient,
    Transport,
)
from labkit.taskqueue.transport.values import Timeouts

if TYPE_CHECKING:
    from labkit.lab.connection import Connection
    from labkit.settings import TransportName

__all__ = [
    "AdminClient",
    "ConsumerClient",
    "ConsumerConfig",
    "Headers",
    "Outgoing",
    "Position",
    "ProducerClient",
    "ProducerConfig",
    "Record",
    "RecordMetadata",
    "Timeouts",
    "TopicDescription",
    "TopicPartition",
    "TransactionClient",
    "Transport",
    "connect_transport",
]


def connect_transport(connection: Connection, name: TransportName, *, timeouts: Timeouts | None = None) -> Transport:
    """The transport of that name to that cluster. Its client library is imported here and not before.

    Nothing is opened yet: the clients that the transport makes connect by themselves.
    """
    if name == "kafka-python":
        from labkit.taskqueue.transport.kafka_python import KafkaPythonTransport

        return KafkaPythonTransport(connection, timeouts or Timeouts())
    if name == "confluent-kafka":
        from labkit.taskqueue.transport.confluent import ConfluentTransport

        return ConfluentTransport(connection, timeouts or Timeouts())
    raise SettingsError(f"There is no transport {name!r}; there are 'kafka-python' and 'confluent-kafka'.")
