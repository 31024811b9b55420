"""The raw clients that labkit is held against: made with labkit's own settings, then used by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol
from uuid import uuid4

import confluent_kafka
import kafka

from benchmarks.figure import Settings
from labkit.lab import Connection
from labkit.settings import load_settings
from labkit.taskqueue.engine.fetcher import MAX_POLL_RECORDS
from labkit.taskqueue.transport.confluent import client as confluent
from labkit.taskqueue.transport.confluent import producer as confluent_producer
from labkit.taskqueue.transport.confluent.consumer import settings_of as confluent_consumer_settings
from labkit.taskqueue.transport.contract import ConsumerConfig, ProducerConfig
from labkit.taskqueue.transport.kafka_python import client as kafka_python
from labkit.taskqueue.transport.kafka_python import consumer as kafka_python_consumer
from labkit.taskqueue.transport.kafka_python import producer as kafka_python_producer
from labkit.taskqueue.transport.values import Timeouts

#: How long reading all records may take before the run counts as failed, in seconds.
LONGEST = 120.0
#: How long one poll waits, in seconds.
POLL_TIMEOUT = 0.1

#: How often the rival that commits does so, in seconds.
COMMIT_INTERVAL = 0.2

#: A record's value, headers and partition.
Encoded = tuple[bytes, list[tuple[str, bytes]], int]


def producer_settings(transport: str) -> Settings:
    """What labkit's own producer hands to the client library under its defaults."""
    settings = load_settings()
    config = ProducerConfig(
        acks=settings.acks,
        retries=settings.retries,
        linger_ms=settings.linger_ms,
        compression=settings.compression,
        delivery_timeout=settings.delivery_timeout,
    )
    if transport == "kafka-python":
        return kafka_python_producer._settings(config, Timeouts())
    return confluent_producer._settings(config)


def consumer_settings(transport: str, group: str = "benchmark") -> Settings:
    """What a worker of labkit hands to the client library under its defaults."""
    config = ConsumerConfig(
        group=group, session_timeout=load_settings().session_timeout, max_poll_records=MAX_POLL_RECORDS
    )
    if transport == "kafka-python":
        return kafka_python_consumer._settings(config)
    return confluent_consumer_settings(config)


class KafkaPythonSender:
    """A loop by hand over `KafkaProducer`."""

    def __init__(self, connection: Connection) -> None:
        self._client = kafka_python.connect(
            kafka.KafkaProducer, connection, Timeouts(), **producer_settings("kafka-python")
        )

    def send(self, topic: str, records: Iterable[Encoded]) -> int:
        """Send all, check every acknowledgement, return how many there were."""
        futures = [
            self._client.send(topic, value, headers=headers, partition=partition)
            for value, headers, partition in records
        ]
        self._client.flush()
        return len([future.get().offset for future in futures])

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


class ConfluentSender:
    """A loop by hand over `confluent_kafka.Producer`."""

    def __init__(self, connection: Connection) -> None:
        self._client: Any = confluent.connect(
            confluent_kafka.Producer, connection, Timeouts(), **producer_settings("confluent-kafka")
        )

    def send(self, topic: str, records: Iterable[Encoded]) -> int:
        """Send all, check every acknowledgement, return how many there were."""
        offsets: list[int] = []

        def delivered(error: Any, message: Any) -> None:
            if error is not None:
                raise RuntimeError(error)
            offsets.append(message.offset())

        for value, headers, partition in records:
            while True:
                try:
                    self._client.produce(topic, value, partition=partition, headers=headers, on_delivery=delivered)
                    break
                except BufferError:
                    self._client.poll(POLL_TIMEOUT)
            self._client.poll(0)
        self._client.flush()
        return len(offsets)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


class Sender(Protocol):
    """A producer, used by hand."""

    def send(self, topic: str, records: Iterable[Encoded]) -> int:
        """Send all, check every acknowledgement, return how many there were."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


SENDERS: dict[str, Callable[[Connection], Sender]] = {
    "kafka-python": KafkaPythonSender,
    "confluent-kafka": ConfluentSender,
}


class Reader(Protocol):
    """A consumer in a group of its own, used by hand."""

    assigned_at: float

    def poll(self) -> list[bytes]:
        """The values of the records that came."""
        ...

    def commit(self) -> None:
        """Commit what was polled."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


class KafkaPythonReader:
    """A poll loop by hand over `KafkaConsumer`."""

    def __init__(self, connection: Connection, topic: str) -> None:
        settings = consumer_settings("kafka-python", uuid4().hex)
        self._client = kafka_python.connect(kafka.KafkaConsumer, connection, Timeouts(), **settings)
        self.assigned_at = 0.0
        self._client.subscribe([topic], listener=_Listener(self))
        # without it, the first assignment may be made before the partitions are known, and is empty
        self._client.partitions_for_topic(topic)

    def poll(self) -> list[bytes]:
        """The values that came."""
        found = self._client.poll(int(POLL_TIMEOUT * 1000), max_records=MAX_POLL_RECORDS)
        return [record.value for records in found.values() for record in records]

    def commit(self) -> None:
        """Commit what was polled."""
        self._client.commit()

    def close(self) -> None:
        """Leave the group."""
        self._client.close(autocommit=False)


class _Listener(kafka.ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    def __init__(self, reader: KafkaPythonReader) -> None:
        self._reader = reader

    def on_partitions_revoked(self, revoked: object) -> None:
        """Nothing is kept per partition."""

    def on_partitions_assigned(self, assigned: object) -> None:
        self._reader.assigned_at = time.perf_counter()


class ConfluentReader:
    """A consume loop by hand over `confluent_kafka.Consumer`."""

    def __init__(self, connection: Connection, topic: str) -> None:
        settings = consumer_settings("confluent-kafka", uuid4().hex)
        self._client: Any = confluent.connect(confluent_kafka.Consumer, connection, Timeouts(), **settings)
        self.assigned_at = 0.0
        self._client.subscribe([topic], on_assign=self._assigned)

    def poll(self) -> list[bytes]:
        """The values that came."""
        records = self._client.consume(MAX_POLL_RECORDS, timeout=POLL_TIMEOUT)
        values = []
        for record in records:
            if record.error() is None:
                values.append(record.value())
            elif record.error().code() != confluent_kafka.KafkaError._PARTITION_EOF:
                raise RuntimeError(record.error())
        return values

    def commit(self) -> None:
        """Commit what was polled."""
        positions = self._client.position(self._client.assignment())
        # a partition of which nothing was read yet has no position
        self._client.commit(offsets=[tp for tp in positions if tp.offset >= 0], asynchronous=False)

    def close(self) -> None:
        """Leave the group."""
        self._client.close()

    def _assigned(self, *_: object) -> None:
        self.assigned_at = time.perf_counter()


READERS: dict[str, Callable[[Connection, str], Reader]] = {
    "kafka-python": KafkaPythonReader,
    "confluent-kafka": ConfluentReader,
}


def read(transport: str, connection: Connection, topic: str, count: int) -> float:
    """Poll until `count` records came, touch every value, commit nothing; seconds from the assignment on."""
    reader = READERS[transport](connection, topic)
    try:
        for _ in _batches(reader, count):
            pass
        return time.perf_counter() - reader.assigned_at
    finally:
        reader.close()


def read_decode_and_commit(transport: str, connection: Connection, topic: str, count: int) -> float:
    """As `read`, but every value goes through `json.loads`, and offsets are committed as often as by a worker."""
    reader = READERS[transport](connection, topic)
    try:
        committed_at = time.perf_counter()
        for values in _batches(reader, count):
            for value in values:
                json.loads(value)
            if time.perf_counter() - committed_at >= COMMIT_INTERVAL:
                reader.commit()
                committed_at = time.perf_counter()
        reader.commit()
        return time.perf_counter() - reader.assigned_at
    finally:
        reader.close()


def _batches(reader: Reader, count: int) -> Iterator[list[bytes]]:
    deadline = time.perf_counter() + LONGEST
    seen = 0
    while seen < count:
        values = reader.poll()
        seen += len(values)
        yield values
        if time.perf_counter() > deadline:
            raise RuntimeError(f"{seen} of {count} records came within {LONGEST:g} s")
