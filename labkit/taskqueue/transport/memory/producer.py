"""The producer in memory: it appends at once."""

from __future__ import annotations

from labkit.errors import NotAcknowledged, UnknownTopic
from labkit.taskqueue.partitioners import key_hash
from labkit.taskqueue.transport.checks import must_be_open, must_hold_something
from labkit.taskqueue.transport.contract import (
    MAX_RECORD_BYTES,
    NO_OFFSET,
    Delivery,
    Headers,
    OnDelivery,
    ProducerConfig,
    Record,
)
from labkit.taskqueue.transport.memory.cluster import MemoryCluster


class MemoryProducer:
    """See `labkit.taskqueue.transport.contract.ProducerClient`."""

    def __init__(self, cluster: MemoryCluster, config: ProducerConfig) -> None:
        self._cluster = cluster
        self._config = config
        self._partition_of = key_hash()
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
        size = len(key or b"") + len(value or b"") + sum(len(name) + len(content) for name, content in headers)
        if size > MAX_RECORD_BYTES:
            on_delivery(None, NotAcknowledged(f"The record was not acknowledged: {size} bytes are too large."))
            return
        with self._cluster.changed:
            logs = self._cluster.topic(topic).logs
            chosen = self._partition_of(key, len(logs)) if partition is None else partition
            if not 0 <= chosen < len(logs):
                raise UnknownTopic(f"The topic {topic!r} has no partition {chosen}.")
            offset = len(logs[chosen])
            stamp = int(self._cluster.clock() * 1000) if timestamp_ms is None else timestamp_ms
            logs[chosen].append(Record(topic, chosen, offset, key, value, headers, stamp))
            self._cluster.changed.notify_all()
        on_delivery(Delivery(chosen, NO_OFFSET if self._config.acks == "0" else offset), None)

    def flush(self, timeout: float) -> None:
        """Nothing to do: every record is acknowledged or refused when `send` returns."""

    def close(self, timeout: float) -> None:
        """Take no more records."""
        self._closed = True
