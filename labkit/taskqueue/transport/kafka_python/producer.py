"""The producer over kafka-python. Its sender thread batches, sends and calls back."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import kafka.errors as kafka_errors
from kafka import KafkaProducer

from labkit.errors import DeadlineExceeded, NotAcknowledged, SettingsError, TransportError, UnknownTopic
from labkit.lab.connection import Connection
from labkit.taskqueue.transport.contract import Delivery, Headers, OnDelivery, ProducerConfig
from labkit.taskqueue.transport.kafka_python.client import METADATA_MAX_AGE_MS, REQUEST_TIMEOUT_MS, connect, in_words
from labkit.taskqueue.transport.reach import reason, unreachable
from labkit.taskqueue.waiting import wait_until

#: How many bytes may be under way before `send` waits: what Java's client allows (`buffer.memory`).
BUFFER_BYTES = 32 * 1024 * 1024
#: What the client keeps in memory for a record besides its key and value, in bytes.
RECORD_OVERHEAD = 1000
#: How long `send` looks for a topic or partition that the client has not heard of yet, in seconds.
METADATA_PATIENCE = 2 * METADATA_MAX_AGE_MS / 1000


class KafkaPythonProducer:
    """See `labkit.taskqueue.transport.contract.ProducerClient`."""

    def __init__(self, connection: Connection, config: ProducerConfig) -> None:
        self._connection = connection
        self._client, _ = connect(KafkaProducer, connection, **_settings(config))
        self._closed = False
        # kafka-python 3 has no bound on its buffer (buffer_memory is gone), so the bytes under way are counted here
        self._settled = threading.Condition(threading.Lock())
        self._under_way = 0
        self._waiting = 0

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
        """Hand over one record; waits while too much is under way."""
        size = RECORD_OVERHEAD + (len(key) if key else 0) + (len(value) if value else 0)
        settled = self._settled
        with settled:
            if self._under_way >= BUFFER_BYTES:
                self._wait_for_room()
            self._under_way += size
        try:
            future = self._append(topic, value, key, list(headers), partition, timestamp_ms)
        except kafka_errors.MessageSizeTooLargeError as error:
            self._refused(on_delivery, size, error)
        except BaseException:
            self._settle(size)
            raise
        else:
            future.add_callback(partial(self._acknowledged, on_delivery, size))
            future.add_errback(partial(self._refused, on_delivery, size))

    def flush(self, timeout: float) -> None:
        """Return when everything handed over is acknowledged or refused; `DeadlineExceeded` otherwise."""
        try:
            self._client.flush(timeout)
        except kafka_errors.KafkaTimeoutError as error:
            raise DeadlineExceeded(f"Waited {timeout:g} s in vain: not all records were acknowledged.") from error

    def close(self, timeout: float) -> None:
        """Flush and let go; what is not acknowledged by then is refused."""
        if self._closed:
            return
        self._closed = True
        try:
            self._client.flush(timeout)
        except kafka_errors.KafkaTimeoutError:
            # close() would raise for the same reason and leave its thread behind
            self._client._sender.force_close()
            self._client._sender.join()
        self._client.close(timeout)

    def _append(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        headers: list[tuple[str, bytes]],
        partition: int | None,
        timestamp_ms: int | None,
    ) -> Any:
        try:
            return self._client.send(topic, value, key, headers, partition, timestamp_ms)
        except kafka_errors.KafkaTimeoutError as error:
            if reason(self._connection) is not None:
                raise unreachable(self._connection) from error
            raise UnknownTopic(f"There is no topic {topic!r}.") from error
        except kafka_errors.MessageSizeTooLargeError:
            raise  # a refusal of this record, reported by `send`
        except kafka_errors.IllegalStateError as error:
            raise TransportError("The producer is closed.") from error
        except kafka_errors.KafkaError as error:
            raise in_words(error, self._connection) from error
        except ValueError:
            if partition is None or partition in self._client.partitions_for(topic):
                raise
        self._wait_for_partition(topic, partition)
        return self._client.send(topic, value, key, headers, partition, timestamp_ms)

    def _wait_for_partition(self, topic: str, partition: int) -> None:
        # the topic may have grown a moment ago
        try:
            wait_until(
                lambda: partition in self._client.partitions_for(topic),
                timeout=METADATA_PATIENCE,
                what=f"topic {topic!r} was to have a partition {partition}",
            )
        except DeadlineExceeded as error:
            raise UnknownTopic(f"The topic {topic!r} has no partition {partition}.") from error

    def _acknowledged(self, on_delivery: OnDelivery, size: int, metadata: Any) -> None:
        try:
            on_delivery(Delivery(metadata.partition, metadata.offset), None)
        finally:
            self._settle(size)

    def _refused(self, on_delivery: OnDelivery, size: int, error: Exception) -> None:
        refusal = NotAcknowledged(f"The record was not acknowledged: {error}")
        refusal.__cause__ = error
        try:
            on_delivery(None, refusal)
        finally:
            self._settle(size)

    def _settle(self, size: int) -> None:
        with self._settled:
            self._under_way -= size
            if self._waiting:
                self._settled.notify()

    def _wait_for_room(self) -> None:
        self._waiting += 1
        # ends at the latest when the records under way time out
        self._settled.wait_for(lambda: self._under_way < BUFFER_BYTES)
        self._waiting -= 1


def _settings(config: ProducerConfig) -> dict[str, object]:
    delivery_timeout_ms = int(config.delivery_timeout * 1000)
    if delivery_timeout_ms <= config.linger_ms:
        raise SettingsError(
            f"LABKIT_DELIVERY_TIMEOUT ({config.delivery_timeout:g} s) must be longer than "
            f"LABKIT_LINGER_MS ({config.linger_ms} ms)."
        )
    acks = config.acks if config.acks == "all" else int(config.acks)
    return {
        "client_id": config.client_id,
        "acks": acks,
        "retries": config.retries,
        # KIP-98 needs both; kafka-python refuses to start otherwise
        "enable_idempotence": acks == "all" and config.retries > 0,
        "linger_ms": config.linger_ms,
        "compression_type": None if config.compression == "none" else config.compression,
        "delivery_timeout_ms": delivery_timeout_ms,
        "request_timeout_ms": min(REQUEST_TIMEOUT_MS, delivery_timeout_ms - config.linger_ms),
        "max_block_ms": METADATA_PATIENCE * 1000,
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
    }
