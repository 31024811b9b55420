"""The producer over confluent-kafka. librdkafka batches and sends; a thread here calls back."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from labkit.errors import DeadlineExceeded, NotAcknowledged, UnknownTopic
from labkit.lab.connection import Connection
from labkit.taskqueue.pace import Pace
from labkit.taskqueue.timeouts import left_until, wait_until
from labkit.taskqueue.transport.checks import must_be_open, must_hold_something
from labkit.taskqueue.transport.confluent.client import apart, close, connect, flush, in_words, kafka_error, words_of
from labkit.taskqueue.transport.contract import (
    MAX_RECORD_BYTES,
    NO_OFFSET,
    Headers,
    OnDelivery,
    ProducerConfig,
    RecordMetadata,
)
from labkit.taskqueue.transport.library_logs import LOGGER
from labkit.taskqueue.transport.reachability import SLOW_BROKER, unreachable
from labkit.taskqueue.transport.retirement import Retirement
from labkit.taskqueue.transport.values import Timeouts

#: How many KiB may be under way before `send` waits: what Java's client allows (`buffer.memory`).
BUFFER_KIB = 32 * 1024
#: How long the thread that calls back waits for the next acknowledgement, in seconds.
SERVE_INTERVAL = 0.1
#: How long `send` looks for a topic or partition that the client has not heard of yet, in seconds.
METADATA_PATIENCE = 1.0
#: The codes by which a client says that it can send nothing any more.
_BEYOND_HELP = {KafkaError._FATAL, KafkaError._STATE, KafkaError._FENCED}
_ANY_PARTITION = -1
_NOW = 0


class ConfluentProducer:
    """See `labkit.taskqueue.transport.contract.ProducerClient`."""

    def __init__(self, connection: Connection, config: ProducerConfig, timeouts: Timeouts) -> None:
        self._connection = connection
        self._timeouts = timeouts
        self._settings = _settings(config)
        self._full_timeout = config.delivery_timeout + timeouts.request
        self._renewal = threading.Lock()  # for the change alone: what is discarded calls back
        self._retirement = Retirement()
        self._client = self._connect()
        self._report = _report_without_offset if config.acks == "0" else _report
        self._known: set[str] = set()
        self._closed = threading.Event()
        self._server = threading.Thread(target=self._serve, name="labkit-deliveries", daemon=True)
        self._server.start()

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
        if topic not in self._known:
            self._look_up(topic)
        report = partial(self._report, on_delivery)
        patience_ends = time.monotonic() + self._full_timeout
        while True:
            client = self._client
            try:
                client.produce(
                    topic,
                    value,
                    key,
                    _ANY_PARTITION if partition is None else partition,
                    on_delivery=report,
                    timestamp=_NOW if timestamp_ms is None else timestamp_ms,
                    headers=list(headers),
                )
            except BufferError as error:
                with suppress(RuntimeError):
                    apart(partial(client.poll, SERVE_INTERVAL))
                if not left_until(patience_ends):
                    raise unreachable(self._connection) from error
            except KafkaException as error:
                code = kafka_error(error).code()
                if code == KafkaError._UNKNOWN_PARTITION:
                    self._wait_for_partition(topic, partition)
                elif code in _BEYOND_HELP and not self._closed.is_set():
                    self._renew(client)
                else:
                    report(kafka_error(error), None)
                    return
            except RuntimeError:  # another thread has closed it this moment, or made it anew
                must_be_open("producer", closed=self._closed.is_set())
                if client is self._client:
                    raise
            else:
                return

    def flush(self, timeout: float) -> None:
        """Return when everything handed over is acknowledged or refused; `DeadlineExceeded` otherwise."""
        deadline = time.monotonic() + timeout
        with self._renewal:
            client = self._client
        self._retirement.wait(timeout)  # what the one before had under way is refused by then
        left, pace = 0, Pace(0)
        try:
            pace = Pace(-len(client))
            left = flush(client, left_until(deadline))
        except RuntimeError:
            if client is self._client and not self._closed.is_set():
                raise
            # else another thread has closed it: it has refused what was left
        if left:
            raise DeadlineExceeded(
                f"Waited {timeout:g} s in vain: {pace.so_far(-left, 'records were acknowledged')}, and {left} are "
                f"left. {SLOW_BROKER}"
            )

    def close(self, timeout: float) -> None:
        """Flush and let go; what is not acknowledged by then is refused."""
        if self._closed.is_set():
            return
        try:
            flush(self._client, timeout)
        finally:  # Ctrl-C ends the wait, not the close
            self._closed.set()
            self._server.join(self._timeouts.leave)
            self._known.clear()
            with self._renewal:  # one that is under way has its end
                client = self._client
            self._discard(client)

    def _connect(self) -> Producer:
        return connect(Producer, self._connection, self._timeouts, **self._settings)

    def _renew(self, broken: Producer) -> None:
        """Make the client anew, once for all threads, when it has given up for good."""
        with self._renewal:
            if self._client is not broken or self._closed.is_set():
                return
            LOGGER.warning("the producer is made anew, since it can send nothing any more")
            new = self._connect()
            closed = self._retirement.announce()
            self._client = new
        self._retirement.close(closed, partial(self._discard, broken))

    def _discard(self, client: Producer) -> None:
        """Close a client; what it has not delivered is refused."""
        with suppress(KafkaException):
            client.purge(blocking=False)
        try:
            flush(client, self._timeouts.leave)
        finally:  # which calls back for what is left, if a callback has raised
            close(client, self._timeouts.leave)

    def _serve(self) -> None:
        while not self._closed.is_set():
            try:
                apart(partial(self._client.poll, SERVE_INTERVAL))
            except Exception:  # noqa: BLE001 - what a callback raises must not end the thread that calls back
                LOGGER.exception("on_delivery raised an error")

    def _look_up(self, topic: str) -> None:
        must_be_open("producer", closed=self._closed.is_set())
        try:
            wait_until(lambda: self._partitions(topic) > 0, timeout=METADATA_PATIENCE, what=topic)
        except DeadlineExceeded as error:
            raise UnknownTopic(f"There is no topic {topic!r}.") from error
        self._known.add(topic)

    def _wait_for_partition(self, topic: str, partition: int | None) -> None:
        # the topic may have grown a moment ago
        try:
            wait_until(lambda: self._partitions(topic) > (partition or 0), timeout=METADATA_PATIENCE, what=topic)
        except DeadlineExceeded as error:
            raise UnknownTopic(f"The topic {topic!r} has no partition {partition}.") from error

    def _partitions(self, topic: str) -> int:
        try:
            look = partial(self._client.list_topics, topic, timeout=self._timeouts.request)
            return len(apart(look).topics[topic].partitions)
        except KafkaException as error:
            raise in_words(kafka_error(error), self._connection) from error


def _report(on_delivery: OnDelivery, error: KafkaError | None, message: Any) -> None:
    if error is None:
        offset = message.offset()
        if offset is not None:
            on_delivery(RecordMetadata(message.partition(), offset), None)
        else:
            on_delivery(None, NotAcknowledged("The record was acknowledged without an offset, so it may be lost."))
    else:
        refusal = NotAcknowledged(f"The record was not acknowledged: {words_of(error)}.")
        refusal.__cause__ = KafkaException(error)
        on_delivery(None, refusal)


def _report_without_offset(on_delivery: OnDelivery, error: KafkaError | None, message: Any) -> None:
    if error is None:
        on_delivery(RecordMetadata(message.partition(), NO_OFFSET), None)
    else:
        _report(on_delivery, error, message)


def _settings(config: ProducerConfig) -> dict[str, object]:
    return {
        "client_id": config.client_id,
        "acks": config.acks,
        "retries": config.retries,
        # KIP-98 needs both
        "enable_idempotence": config.acks == "all" and config.retries > 0,
        # With more, librdkafka loses records on a new topic and calls them delivered: the broker refuses the first
        # batch, because the partition is not ready, and takes the second, which for librdkafka implies the first.
        "max_in_flight_requests_per_connection": 1,
        "linger_ms": config.linger_ms,
        "compression_type": config.compression,
        "delivery_timeout_ms": int(config.delivery_timeout * 1000),
        "message_max_bytes": MAX_RECORD_BYTES,
        "queue_buffering_max_kbytes": BUFFER_KIB,
        "partitioner": "murmur2_random",
    }
