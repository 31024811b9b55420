"""The producer in memory: it appends at once."""

from __future__ import annotations

from labkit.errors import NotAcknowledged
from labkit.taskqueue.transport.checks import must_be_open, must_hold_something, must_not_be_too_large
from labkit.taskqueue.transport.contract import (
    MAX_RECORD_BYTES,
    NO_OFFSET,
    Delivery,
    Headers,
    OnDelivery,
    ProducerConfig,
)
from labkit.taskqueue.transport.memory.cluster import MemoryCluster


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
        on_delivery(Delivery(chosen, NO_OFFSET if self._config.acks == "0" else offset), None)

    def flush(self, timeout: float) -> None:
        """Nothing to do: every record is acknowledged or refused when `send` returns."""

    def close(self, timeout: float) -> None:
        """Take no more records."""
        self._closed = True
