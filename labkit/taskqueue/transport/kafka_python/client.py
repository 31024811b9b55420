"""What all kafka-python clients share: their settings, how they connect and ask, and their errors in words."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import kafka
import kafka.errors as kafka_errors
from kafka.admin import KafkaAdminClient
from kafka.net.compat import KafkaNetClient
from kafka.structs import OffsetAndMetadata

from labkit import kafka_words
from labkit.errors import LabkitError, MetadataTooLarge, TransportError, UnknownTopic
from labkit.lab.connection import Connection
from labkit.taskqueue.transport.contract import Position, TopicPartition
from labkit.taskqueue.transport.kafka_python.network_overrides import REFUSALS, ThreadEnded, open_network
from labkit.taskqueue.transport.kafka_python.overrides import forget_places
from labkit.taskqueue.transport.reachability import other_rule, refused, ssl_context, unreachable
from labkit.taskqueue.transport.values import Timeouts

#: How old a client's view of topics and partitions may be, so that a topic that grew is noticed. In ms.
METADATA_MAX_AGE_MS = 1000
#: How long a client waits at most between two tries to reach a broker that went away, in ms.
RECONNECT_MAX_MS = 500

#: How long to wait before a request is made again for which the cluster was not ready, in seconds: right after its
#: start, the coordinator of groups is not; and where a broker has ended, another answers for what was its own.
_RETRY_INTERVAL = 0.05
_NOT_READY = (
    kafka_errors.NodeNotReadyError,
    kafka_errors.CoordinatorNotAvailableError,
    kafka_errors.CoordinatorLoadInProgressError,
    kafka_errors.NotCoordinatorError,
    kafka_errors.LeaderNotAvailableError,
    kafka_errors.NotLeaderForPartitionError,
    kafka_errors.UnknownBrokerIdError,
)

#: How much longer than any call with a time-out of its own one may take, in seconds.
CALL_MARGIN = 5.0

Client = TypeVar("Client")
Answer = TypeVar("Answer")


def connect(make: Callable[..., Client], connection: Connection, timeouts: Timeouts, **config: object) -> Client:
    """A connected client of kafka-python; raises `BrokerUnreachable`, `NotAuthorized`."""
    opened: list[KafkaNetClient] = []

    def open_one(**network_config: Any) -> KafkaNetClient:
        quiet = network_config | {"slow_task_threshold_secs": 0}  # it would tell of each moment of a busy computer
        opened.append(open_network(timeouts.committed + CALL_MARGIN, **quiet))
        return opened[0]

    settings = _settings(connection, timeouts) | config | {"kafka_client": open_one}
    try:
        return make(**settings)
    except kafka_errors.KafkaError as error:
        # kafka-python leaves its thread and sockets behind when it cannot connect
        for network in opened:
            network.close()
        raise in_words(error, connection) from error


def ask(
    admin: KafkaAdminClient,
    request: Callable[[], Answer],
    connection: Connection,
    timeouts: Timeouts,
    *,
    repeatable: bool = True,
) -> Answer:
    """The answer to a request of this client, made again while the cluster is not ready for it; its errors in words.

    One that is `repeatable` is also made again where the broker has gone away before it answered.
    """
    deadline = time.monotonic() + timeouts.connect
    while True:
        try:
            return request()
        except kafka_errors.KafkaError as error:
            forget_places(admin)  # the next one may be for another broker
            is_gone = isinstance(error, kafka_errors.KafkaConnectionError) and (repeatable or _was_not_sent(error))
            if not (is_gone or isinstance(error, _NOT_READY)) or time.monotonic() >= deadline:
                raise in_words(error, connection) from error
        time.sleep(_RETRY_INTERVAL)


def _was_not_sent(error: kafka_errors.KafkaConnectionError) -> bool:
    return any(words in str(error) for words in ("ECONNREFUSED", "unable to connect", "Connection timed out"))


def in_words(error: kafka_errors.KafkaError, connection: Connection) -> LabkitError:
    """The error of labkit that says the same."""
    if isinstance(error, REFUSALS):
        return refused(connection, words_of(error))
    if isinstance(error, kafka_errors.UnknownTopicOrPartitionError):
        return UnknownTopic(f"Kafka at {connection.bootstrap_servers} does not know that topic or partition.")
    if isinstance(error, kafka_errors.InconsistentGroupProtocolError):
        return other_rule(connection)
    if isinstance(error, kafka_errors.OffsetMetadataTooLargeError):
        return MetadataTooLarge()
    if isinstance(error, (kafka_errors.RetriableError, kafka_errors.UnknownBrokerIdError)):  # that of no leader
        return unreachable(connection)
    if isinstance(error, ThreadEnded):
        where = connection.bootstrap_servers
        return TransportError(f"A client of Kafka at {where} has broken down, and another is needed: {error.args[0]}.")
    return TransportError(f"Kafka at {connection.bootstrap_servers} refused the request: {words_of(error)}.")


def words_of(error: BaseException) -> str:
    """What the error says, without a full stop, kafka-python's names and numbers."""
    said = error.args[0] if error.args and isinstance(error.args[0], str) else ""
    return kafka_words.in_words(getattr(error, "errno", None), said, getattr(error, "description", "") or "")


def _settings(connection: Connection, timeouts: Timeouts) -> dict[str, object]:
    settings: dict[str, object] = {
        "bootstrap_servers": connection.bootstrap_servers.split(","),
        "bootstrap_timeout_ms": timeouts.connect * 1000,
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
        "reconnect_backoff_max_ms": RECONNECT_MAX_MS,
        "request_timeout_ms": int(timeouts.request * 1000),
        "security_protocol": connection.security_protocol,
        "ssl_context": ssl_context(connection),
    }
    if connection.security_protocol.startswith("SASL"):
        settings |= {
            "sasl_mechanism": connection.sasl_mechanism,
            "sasl_plain_username": connection.sasl_username,
            "sasl_plain_password": connection.sasl_password,
        }
    return settings


def to_ours(partitions: Iterable[kafka.TopicPartition]) -> list[TopicPartition]:
    """As labkit writes partitions, in order."""
    return sorted(TopicPartition(*partition) for partition in partitions)


def to_theirs(partitions: Iterable[TopicPartition]) -> list[kafka.TopicPartition]:
    """As kafka-python writes partitions."""
    return [kafka.TopicPartition(*partition) for partition in partitions]


def to_position(committed: OffsetAndMetadata) -> Position:
    """As labkit writes what a group has committed, without the zero byte that ends the metadata."""
    return Position(committed.offset, (committed.metadata or "").rstrip("\0"))
