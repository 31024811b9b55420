"""Transactions over confluent-kafka."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from confluent_kafka import KafkaError, KafkaException, Producer

from labkit.errors import CommitRefused, LabkitError, NotAcknowledged, UnknownTopic
from labkit.lab.connection import Connection
from labkit.taskqueue.timeouts import left_until
from labkit.taskqueue.transport.checks import must_be_of, must_be_open, must_be_writable, taken_over
from labkit.taskqueue.transport.confluent.client import (
    close,
    connect,
    flush,
    in_words,
    kafka_error,
    to_offsets,
    words_of,
)
from labkit.taskqueue.transport.confluent.consumer import REFUSED_COMMITS, ConfluentConsumer
from labkit.taskqueue.transport.contract import (
    ConsumerClient,
    Outgoing,
    Position,
    TopicPartition,
)
from labkit.taskqueue.transport.reachability import unreachable
from labkit.taskqueue.transport.values import MAX_COUNTED_BYTES, Timeouts

_ANY_PARTITION = -1

_TAKEN_OVER = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.INVALID_PRODUCER_ID_MAPPING,
}


class ConfluentTransactions:
    """See `labkit.taskqueue.transport.contract.TransactionClient`."""

    def __init__(self, connection: Connection, transactional_id: str, timeouts: Timeouts) -> None:
        self._connection = connection
        self._id = transactional_id
        self._timeouts = timeouts
        self._producer: Producer | None = None
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
        try:
            self._look_up(client, records)
            member = must_be_of(consumer, ConfluentConsumer).membership(positions) if positions else None
        except KafkaException as error:
            raise in_words(kafka_error(error), self._connection) from error
        try:
            _write(client, records, positions or {}, member, time.monotonic() + self._timeouts.transaction)
        except KafkaException as error:
            self._give_up(client)
            raise self._in_words(kafka_error(error)) from error
        except BaseException:
            self._give_up(client)
            raise

    def close(self) -> None:
        """Let go of every thread and socket."""
        self._closed = True
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaException):  # nothing is open; it may hear only now that another has taken over
                close(producer, self._timeouts.leave)

    def _connected(self) -> Producer:
        """The producer; a new one settles what the last one with this id left open."""
        if self._producer is None:
            client = connect(Producer, self._connection, self._timeouts, **_settings(self._id, self._timeouts))
            try:
                client.init_transactions(self._timeouts.transaction)
            except KafkaException as error:
                raise self._in_words(kafka_error(error)) from error
            self._producer = client
        return self._producer

    def _look_up(self, client: Producer, records: Sequence[Outgoing]) -> None:
        """Raise `UnknownTopic` before anything is written; librdkafka would look for a topic for half a minute."""
        for topic in {record.topic for record in records}:
            found = client.list_topics(topic, timeout=self._timeouts.request).topics[topic]
            wanted = {record.partition for record in records if record.topic == topic} - {None}
            missing = wanted - found.partitions.keys()
            if found.error is not None or not found.partitions:
                raise UnknownTopic(f"There is no topic {topic!r}.")
            if missing:
                raise UnknownTopic(f"The topic {topic!r} has no partition {min(missing)}.")

    def _give_up(self, client: Producer) -> None:
        # Aborting may fail too, as when the broker is away or has ended the transaction itself. Then the next
        # producer with this id settles it, or the broker does when its time is up.
        self._producer = None
        with suppress(KafkaException):
            client.abort_transaction(self._timeouts.abort)
        with suppress(KafkaException):
            client.purge()
            flush(client, self._timeouts.abort)

    def _in_words(self, error: KafkaError) -> LabkitError:
        if error.code() in REFUSED_COMMITS:
            return CommitRefused()
        if error.code() in _TAKEN_OVER:
            return taken_over(self._id)
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return NotAcknowledged(f"The record was not acknowledged: {words_of(error)}.")
        if error.code() == KafkaError._INCONSISTENT:  # the time of a record was up before anybody took it
            return unreachable(self._connection)
        return in_words(error, self._connection)


def _write(
    client: Producer,
    records: Sequence[Outgoing],
    positions: Mapping[TopicPartition, Position],
    member: object | None,
    deadline: float,
) -> None:
    """One transaction, written before its deadline.

    Records have no `on_delivery`: the commit fails if one is not delivered, and a fatal error, which raises inside
    the library's callbacks, would make a call back from there a `SystemError`.
    """
    client.begin_transaction()
    for record in records:
        partition = _ANY_PARTITION if record.partition is None else record.partition
        client.produce(record.topic, record.value, record.key, partition, headers=list(record.headers))
    if member is not None:
        try:
            client.send_offsets_to_transaction(to_offsets(positions), member, left_until(deadline))
        except KafkaException as error:
            if kafka_error(error).code() == KafkaError._STATE:  # a record was refused meanwhile: the commit says why
                client.commit_transaction(left_until(deadline))
            raise
    client.commit_transaction(left_until(deadline))


def _settings(transactional_id: str, timeouts: Timeouts) -> dict[str, object]:
    return {
        "client_id": "labkit-transactions",
        "transactional_id": transactional_id,
        "transaction_timeout_ms": int(timeouts.transaction * 1000),
        "socket_timeout_ms": int(min(timeouts.request, timeouts.transaction) * 1000),
        "linger_ms": 0,
        # as in the producer: with more, librdkafka loses records on a new topic and calls them delivered
        "max_in_flight_requests_per_connection": 1,
        "message_max_bytes": MAX_COUNTED_BYTES,
        "partitioner": "murmur2_random",
    }
