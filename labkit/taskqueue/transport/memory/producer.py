"""The producer in memory appends at once; a transaction is checked first, then written under the cluster's lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labkit.errors import NotAcknowledged
from labkit.taskqueue.transport.checks import (
    must_be_of,
    must_be_open,
    must_be_writable,
    must_hold_something,
    must_not_be_too_large,
    taken_over,
)
from labkit.taskqueue.transport.contract import (
    MAX_RECORD_BYTES,
    NO_OFFSET,
    ConsumerClient,
    Headers,
    OnDelivery,
    Outgoing,
    Position,
    ProducerConfig,
    RecordMetadata,
    TopicPartition,
)
from labkit.taskqueue.transport.memory.cluster import MemoryCluster
from labkit.taskqueue.transport.memory.consumer import MemoryConsumer
from labkit.taskqueue.transport.values import LARGEST, LARGEST_BY_DEFAULT


class MemoryProducer:
    """See `labkit.taskqueue.transport.contract.ProducerClient`."""

    def __init__(self, cluster: MemoryCluster, config: ProducerConfig) -> None:
        self._cluster = cluster
        self._config = config
        self._closed = False

    def send(
        self,
        topic: str,
        *,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        timestamp_ms: int | None,
        on_delivery: OnDelivery,
    ) -> None:
        """Append one record and call back."""
        must_be_open("producer", closed=self._closed)
        must_hold_something(key, value)
        try:
            must_not_be_too_large(key, value, headers, MAX_RECORD_BYTES)
        except NotAcknowledged as error:
            on_delivery(None, error)
            return
        with self._cluster.changed:
            chosen = self._cluster.choose_partition(topic, partition, key)
            offset = self._cluster.append(topic, chosen, key, value, headers, timestamp_ms)
        on_delivery(RecordMetadata(chosen, NO_OFFSET if self._config.acks == "0" else offset), None)

    def flush(self, timeout: float) -> None:
        """Nothing to do: every record is acknowledged or refused when `send` returns."""

    def close(self, timeout: float) -> None:
        """Take no more records."""
        self._closed = True


class MemoryTransactions:
    """See `labkit.taskqueue.transport.contract.TransactionClient`."""

    def __init__(self, cluster: MemoryCluster, transactional_id: str) -> None:
        self._cluster = cluster
        self._id = transactional_id
        self._closed = False
        self._take_over()

    def write(
        self,
        records: Sequence[Outgoing],
        positions: Mapping[TopicPartition, Position] | None = None,
        consumer: ConsumerClient | None = None,
    ) -> None:
        """All records and the positions, or nothing of it."""
        must_be_open("client for transactions", closed=self._closed)
        must_be_writable(records)
        with self._cluster.changed:  # reentrant, so that the commit is in it too
            self._must_own_the_id()
            places = [self._cluster.choose_partition(r.topic, r.partition, r.key) for r in records]
            for record in records:
                self._must_fit(record)
            if positions:
                must_be_of(consumer, MemoryConsumer).commit_in_transaction(positions)
            for record, partition in zip(records, places, strict=True):
                self._cluster.append(record.topic, partition, record.key, record.value, record.headers)

    def close(self) -> None:
        """Write no more."""
        self._closed = True

    def _must_fit(self, record: Outgoing) -> None:
        largest = self._cluster.topics[record.topic].config.get(LARGEST, LARGEST_BY_DEFAULT)
        must_not_be_too_large(record.key, record.value, record.headers, int(largest))

    def _must_own_the_id(self) -> None:
        if self._cluster.transaction_owners[self._id] is not self:
            self._take_over()
            raise taken_over(self._id)

    def _take_over(self) -> None:
        with self._cluster.changed:
            self._cluster.transaction_owners[self._id] = self
