"""Transactions over kafka-python. Its own calls wait for the broker without end; here there is a deadline."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from typing import Any

import kafka.errors as kafka_errors
from kafka import KafkaProducer
from kafka.producer.transaction_manager import TransactionManager
from kafka.structs import ConsumerGroupMetadata

from labkit.errors import CommitRefused, LabkitError, MetadataTooLarge, NotAcknowledged, UnknownTopic
from labkit.lab.connection import Connection
from labkit.taskqueue.timeouts import left_until
from labkit.taskqueue.transport.checks import must_be_of, must_be_open, must_be_writable, taken_over
from labkit.taskqueue.transport.contract import (
    ConsumerClient,
    Outgoing,
    Position,
    TopicPartition,
)
from labkit.taskqueue.transport.kafka_python.admin import KafkaPythonAdmin
from labkit.taskqueue.transport.kafka_python.client import connect, in_words, words_of
from labkit.taskqueue.transport.kafka_python.consumer import KafkaPythonConsumer, to_offsets
from labkit.taskqueue.transport.kafka_python.overrides import discard, last_error, settle
from labkit.taskqueue.transport.reachability import unreachable
from labkit.taskqueue.transport.values import MAX_COUNTED_BYTES, Timeouts

#: How much longer than a transaction one request may take before its connection counts as dead, in ms, since
#: kafka-python retries one that found its connection closed, and takes one without an answer for a defect.
REQUEST_MARGIN_MS = 1000
#: How long to wait before a request is made again, in ms: the last transaction ends a moment after its commit.
RETRY_BACKOFF_MS = 5
#: How long `write` looks for a topic that the client has not heard of yet, in ms.
TOPIC_PATIENCE_MS = 1000


class KafkaPythonTransactions:
    """See `labkit.taskqueue.transport.contract.TransactionClient`."""

    def __init__(self, connection: Connection, transactional_id: str, timeouts: Timeouts) -> None:
        self._connection = connection
        self._id = transactional_id
        self._timeouts = timeouts
        self._producer: KafkaProducer | None = None
        self._closed = False
        self._connected()

    def write(
        self,
        records: Sequence[Outgoing],
        positions: Mapping[TopicPartition, Position] | None = None,
        consumer: ConsumerClient | None = None,
    ) -> None:
        """All records and the positions, or nothing of it."""
        must_be_open("client for transactions", closed=self._closed)
        must_be_writable(records)
        client = self._connected()
        self._look_up(client, records)
        member = must_be_of(consumer, KafkaPythonConsumer).membership(positions) if positions else None
        try:
            _write(client, records, positions or {}, member, time.monotonic() + self._timeouts.transaction)
        except kafka_errors.KafkaError as error:
            cause = last_error(client) or error
            self._give_up(client)
            raise self._in_words(cause) from error
        except BaseException:
            self._give_up(client)
            raise

    def close(self) -> None:
        """Let go of every thread and socket."""
        self._closed = True
        producer, self._producer = self._producer, None
        if producer is not None:  # nothing is open
            discard(producer)

    def _connected(self) -> KafkaProducer:
        """The producer; a new one settles what the last one with this id left open."""
        if self._producer is None:
            client = connect(KafkaProducer, self._connection, self._timeouts, **_settings(self._id, self._timeouts))
            try:
                settle(
                    client, TransactionManager.initialize_transactions, time.monotonic() + self._timeouts.transaction
                )
            except kafka_errors.KafkaError as error:
                discard(client)
                raise self._in_words(error) from error
            except BaseException:
                discard(client)
                raise
            self._producer = client
        return self._producer

    def _look_up(self, client: KafkaProducer, records: Sequence[Outgoing]) -> None:
        """Raise `UnknownTopic` before anything is written; the library would not tell it from a slow broker."""
        for topic, partition in {(record.topic, record.partition) for record in records}:
            try:
                known = client.partitions_for(topic)
            except kafka_errors.KafkaTimeoutError as error:
                with closing(KafkaPythonAdmin(self._connection, self._timeouts)) as admin:
                    admin.describe_topic(topic)
                raise unreachable(self._connection) from error
            except kafka_errors.KafkaError as error:
                raise in_words(error, self._connection) from error
            if partition is not None and partition not in known:
                raise UnknownTopic(f"The topic {topic!r} has no partition {partition}.")

    def _give_up(self, client: KafkaProducer) -> None:
        # Aborting may fail too, as when the broker is away or has ended the transaction itself. Then the next
        # producer with this id settles it, or the broker does when its time is up.
        self._producer = None
        try:
            with suppress(kafka_errors.KafkaError):
                settle(client, TransactionManager.begin_abort, time.monotonic() + self._timeouts.abort)
        finally:
            discard(client)

    def _in_words(self, error: kafka_errors.KafkaError) -> LabkitError:
        if isinstance(error, (kafka_errors.CommitFailedError, kafka_errors.FencedInstanceIdError)):
            return CommitRefused()
        if isinstance(error, (kafka_errors.ProducerFencedError, kafka_errors.InvalidProducerEpochError)):
            return taken_over(self._id)
        if isinstance(error, (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)):
            return NotAcknowledged(f"The record was not acknowledged: {words_of(error)}.")
        if isinstance(error, kafka_errors.KafkaTimeoutError):
            return unreachable(self._connection)
        if kafka_errors.OffsetMetadataTooLargeError.__name__ in str(error):  # the library tells it in a text only
            return MetadataTooLarge()
        return in_words(error, self._connection)


def _write(
    client: KafkaProducer,
    records: Sequence[Outgoing],
    positions: Mapping[TopicPartition, Position],
    member: ConsumerGroupMetadata | None,
    deadline: float,
) -> None:
    """One transaction, written before its deadline."""
    client.begin_transaction()
    futures = [client.send(r.topic, r.value, r.key, list(r.headers), r.partition) for r in records]
    for future in futures:
        future.get(left_until(deadline))
    if member is not None:
        offsets = to_offsets(positions)
        settle(client, lambda manager: manager.send_offsets_to_transaction(offsets, member), deadline)
    settle(client, TransactionManager.begin_commit, deadline)


def _settings(transactional_id: str, timeouts: Timeouts) -> dict[str, Any]:
    transaction_ms = int(timeouts.transaction * 1000)
    request_ms = transaction_ms + REQUEST_MARGIN_MS
    return {
        "client_id": "labkit-transactions",
        "transactional_id": transactional_id,
        "transaction_timeout_ms": transaction_ms,
        "acks": "all",
        "linger_ms": 0,
        "delivery_timeout_ms": request_ms,
        "request_timeout_ms": request_ms,
        "retry_backoff_ms": RETRY_BACKOFF_MS,
        "max_request_size": MAX_COUNTED_BYTES,
        "max_block_ms": TOPIC_PATIENCE_MS,
        "metrics_enabled": False,
    }
