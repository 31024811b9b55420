"""The producer over kafka-python. Its sender thread batches, sends and calls back."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import closing, suppress
from functools import partial
from typing import Any

import kafka.errors as kafka_errors
from kafka import KafkaProducer

from labkit.errors import DeadlineExceeded, NotAcknowledged, SettingsError, UnknownTopic
from labkit.lab.connection import Connection
from labkit.taskqueue.pace import Pace
from labkit.taskqueue.timeouts import left_until, wait_until
from labkit.taskqueue.transport.checks import must_be_open, must_hold_something
from labkit.taskqueue.transport.contract import (
    MAX_RECORD_BYTES,
    NO_OFFSET,
    Headers,
    OnDelivery,
    ProducerConfig,
    RecordMetadata,
)
from labkit.taskqueue.transport.kafka_python.admin import KafkaPythonAdmin
from labkit.taskqueue.transport.kafka_python.client import METADATA_MAX_AGE_MS, connect, in_words, words_of
from labkit.taskqueue.transport.kafka_python.overrides import (
    discard,
    is_beyond_help,
    is_sender_of,
    last_error,
    make_lasting,
    records_under_way,
)
from labkit.taskqueue.transport.library_logs import LOGGER
from labkit.taskqueue.transport.reachability import SLOW_BROKER
from labkit.taskqueue.transport.retirement import Retirement
from labkit.taskqueue.transport.values import Timeouts

#: How many bytes may be under way before `send` waits: what Java's client allows (`buffer.memory`).
BUFFER_BYTES = 32 * 1024 * 1024
#: What the client keeps in memory for a record besides its key and value, in bytes.
RECORD_OVERHEAD = 1000
#: What is counted together, in bytes.
CHUNK_BYTES = 1024 * 1024
#: How long after its time was up a record may take to be refused, in seconds.
SETTLING_MARGIN = 10.0
#: How long `send` looks for a topic that the client has not heard of yet, in ms.
TOPIC_PATIENCE_MS = 1000
#: How long `send` looks for a partition that the client has not heard of yet, in seconds: a topic may have grown.
PARTITION_PATIENCE = 2 * METADATA_MAX_AGE_MS / 1000


class KafkaPythonProducer:
    """See `labkit.taskqueue.transport.contract.ProducerClient`."""

    def __init__(self, connection: Connection, config: ProducerConfig, timeouts: Timeouts) -> None:
        self._connection = connection
        self._timeouts = timeouts
        self._settings = _settings(config, timeouts)
        self._settling_timeout = config.delivery_timeout + SETTLING_MARGIN
        self._renewal = threading.Lock()  # for the change alone: what is discarded calls back
        self._retirement = Retirement()
        self._client = self._connect()
        self._closed = False
        self._report = _ReportWithoutOffset if config.acks == "0" else _Report
        # kafka-python 3 has no bound on its buffer (`buffer_memory` is gone). So one future per chunk is kept, and
        # `send` waits for the oldest when there are too many. Counting every acknowledgement would cost more.
        self._chunks: deque[Any] = deque()
        self._chunk_size = 0

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
        must_hold_something(key, value)
        if is_beyond_help(self._client) and not self._closed:
            self._renew()
        report = self._report(on_delivery)
        try:
            future = self._client.send(topic, value, key, list(headers), partition, timestamp_ms)
        except (kafka_errors.MessageSizeTooLargeError, kafka_errors.IllegalStateError) as error:
            must_be_open("producer", closed=self._closed)
            report.failure(error)  # too large, or the client was made anew this moment
            return
        except (kafka_errors.KafkaError, ValueError) as error:
            self._mend(error, topic, partition)
            try:
                future = self._client.send(topic, value, key, list(headers), partition, timestamp_ms)
            except kafka_errors.KafkaError as again:
                raise in_words(again, self._connection) from again
            except ValueError as again:  # it was made anew meanwhile, with fewer partitions
                raise UnknownTopic(f"The topic {topic!r} has no partition {partition}.") from again
        future.chain(report)
        self._chunk_size += RECORD_OVERHEAD + (len(value) if value else 0)
        if self._chunk_size >= CHUNK_BYTES:
            self._end_chunk(future)

    def flush(self, timeout: float) -> None:
        """Return when everything handed over is acknowledged or refused; `DeadlineExceeded` otherwise."""
        deadline = time.monotonic() + timeout
        with self._renewal:
            client = self._client
        self._retirement.wait(timeout)  # what the one before had under way is refused by then
        pace = Pace(-records_under_way(client))
        try:
            _flush(client, deadline)
        except kafka_errors.KafkaTimeoutError as error:
            left = records_under_way(client)
            raise DeadlineExceeded(
                f"Waited {timeout:g} s in vain: {pace.so_far(-left, 'records were acknowledged')}, and {left} are "
                f"left. {SLOW_BROKER}"
            ) from error

    def close(self, timeout: float) -> None:
        """Flush and let go; what is not acknowledged by then is refused."""
        deadline = time.monotonic() + timeout
        with self._renewal:  # one that is under way has its end
            if self._closed:
                return
            self._closed = True
            client = self._client
        try:
            with suppress(DeadlineExceeded):
                self._retirement.wait(timeout)
            with suppress(kafka_errors.KafkaTimeoutError):
                _flush(client, deadline)
        finally:  # Ctrl-C ends the wait, not the close
            discard(client)

    def _connect(self) -> KafkaProducer:
        client = connect(KafkaProducer, self._connection, self._timeouts, **self._settings)
        make_lasting(client)
        return client

    def _renew(self) -> None:
        """Make the client anew, once for all threads, when the broker has refused it for good."""
        with self._renewal:
            old = self._client
            if self._closed or not is_beyond_help(old):
                return
            LOGGER.warning("the producer is made anew, since the broker refused it: %s", last_error(old))
            new = self._connect()
            closed = self._retirement.announce()
            self._client = new
        self._retirement.close(closed, partial(discard, old))

    def _mend(self, error: Exception, topic: str, partition: int | None) -> None:
        """Return if sending again will do, because topic and partition are known by now; raise the error in words."""
        must_be_open("producer", closed=self._closed)
        if isinstance(error, ValueError):
            if partition is None:
                raise error
            self._wait_for_partition(topic, partition)
        elif isinstance(error, kafka_errors.KafkaTimeoutError):
            # the library does not tell a topic that does not exist from a broker that is slow
            with closing(KafkaPythonAdmin(self._connection, self._timeouts)) as admin:
                admin.describe_topic(topic)
        else:
            raise in_words(error, self._connection) from error

    def _wait_for_partition(self, topic: str, partition: int) -> None:
        def is_there() -> bool:  # the topic may have grown a moment ago
            try:
                return partition in self._client.partitions_for(topic)
            except kafka_errors.KafkaTimeoutError:  # it is away itself
                return False
            except kafka_errors.KafkaError as error:
                raise in_words(error, self._connection) from error

        try:
            wait_until(
                is_there,
                timeout=PARTITION_PATIENCE,
                what=f"topic {topic!r} was to have a partition {partition}",
            )
        except DeadlineExceeded as error:
            raise UnknownTopic(f"The topic {topic!r} has no partition {partition}.") from error

    def _end_chunk(self, last: Any) -> None:
        self._chunk_size = 0
        self._chunks.append(last)
        if is_sender_of(self._client):  # on whose thread we are called back, and who alone can end the wait
            return
        while len(self._chunks) > BUFFER_BYTES // CHUNK_BYTES:
            # ends at the latest when the record times out, and its own report says how
            with suppress(kafka_errors.KafkaError, IndexError):
                self._chunks.popleft().get(self._settling_timeout)


class _Report:
    """What kafka-python's future is chained to: it passes the outcome on. One per record, so it does little."""

    __slots__ = ("_on_delivery",)

    def __init__(self, on_delivery: OnDelivery) -> None:
        self._on_delivery = on_delivery

    def success(self, metadata: Any) -> None:
        offset = metadata.offset
        if offset >= 0:
            self._on_delivery(RecordMetadata(metadata.partition, offset), None)
        else:
            self.failure(LookupError("the broker acknowledged it without an offset"))

    def failure(self, error: Exception) -> None:
        refusal = NotAcknowledged(f"The record was not acknowledged: {words_of(error)}.")
        refusal.__cause__ = error
        self._on_delivery(None, refusal)


class _ReportWithoutOffset(_Report):
    """With acks=0 the library counts offsets from 0 within each batch."""

    __slots__ = ()

    def success(self, metadata: Any) -> None:
        self._on_delivery(RecordMetadata(metadata.partition, NO_OFFSET), None)


def _flush(client: KafkaProducer, deadline: float) -> None:
    while True:
        try:
            client.flush(left_until(deadline))
        except kafka_errors.UnknownError:
            continue  # a batch was too large and was split: its records are in new batches now
        return


def _settings(config: ProducerConfig, timeouts: Timeouts) -> dict[str, object]:
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
        "request_timeout_ms": min(int(timeouts.request * 1000), delivery_timeout_ms - config.linger_ms),
        "max_request_size": MAX_RECORD_BYTES,
        "max_block_ms": TOPIC_PATIENCE_MS,
        "metrics_enabled": False,
    }
