"""The consumer over kafka-python. An I/O thread of the library sends heartbeats and fetches ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import kafka
import kafka.errors as kafka_errors
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from labkit.errors import CommitRefused
from labkit.lab.connection import Connection
from labkit.taskqueue.timeouts import left_until
from labkit.taskqueue.transport.checks import (
    must_be_assigned,
    must_be_member,
    must_be_open,
    must_have_group,
    must_still_have,
)
from labkit.taskqueue.transport.contract import (
    ConsumerConfig,
    OnAssignment,
    Position,
    Record,
    TopicPartition,
)
from labkit.taskqueue.transport.kafka_python.assignor import RoundRobin
from labkit.taskqueue.transport.kafka_python.client import connect, in_words, to_ours, to_position, to_theirs
from labkit.taskqueue.transport.kafka_python.fetch_overrides import forget_fetched, make_careful
from labkit.taskqueue.transport.kafka_python.overrides import keep_join, let_go, position_of
from labkit.taskqueue.transport.kafka_python.rebalance import RebalanceListener
from labkit.taskqueue.transport.library_logs import LOGGER
from labkit.taskqueue.transport.values import Timeouts, readable

#: How long one wait inside `poll` may be, in seconds: kafka-python cannot be woken from another thread.
POLL_SLICE = 0.1
#: How often a member says that it lives and hears of a rebalance, in seconds; a third of the session at most.
HEARTBEAT_INTERVAL = 0.3
#: How long the broker holds a fetch when there is nothing new, in ms. A partition that was just resumed or
#: assigned waits as long until it is fetched, because one fetch per broker is under way.
FETCH_MAX_WAIT_MS = 100
#: How much of a partition is fetched at once, in bytes: about as many tasks as a worker holds. The client works off all
#: that it has of one partition before the next one's turn comes, so with its own 1 MB the others would wait for long.
PARTITION_FETCH_BYTES = 131_072

_REFUSED_COMMITS = (
    kafka_errors.CommitFailedError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
)


class KafkaPythonConsumer:
    """See `labkit.taskqueue.transport.contract.ConsumerClient`."""

    def __init__(self, connection: Connection, config: ConsumerConfig, timeouts: Timeouts) -> None:
        self._connection = connection
        self._config = config
        self._timeouts = timeouts
        self._client = connect(kafka.KafkaConsumer, connection, timeouts, **_settings(config))
        make_careful(self._client)
        self._listener: RebalanceListener | None = None
        self._woken = threading.Event()
        self._closed = False

    def subscribe(self, topics: Sequence[str], *, on_assigned: OnAssignment, on_revoked: OnAssignment) -> None:
        """Join the group for these topics, at the next `poll`."""
        must_have_group(self._config.group)
        self._listener = RebalanceListener(self._client, on_assigned, on_revoked)
        self._client.subscribe(list(topics), listener=self._listener)
        try:
            for topic in topics:
                # without it, the first assignment is made before the topic's partitions are known, and is empty
                self._client.partitions_for_topic(topic)
        except kafka_errors.KafkaError as error:
            raise in_words(error, self._connection) from error

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read these partitions without a group."""
        self._client.assign(to_theirs(partitions))

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that this consumer reads now."""
        return frozenset(to_ours(self._client.assignment()))

    def poll(self, timeout: float, max_records: int | None = None) -> list[Record]:
        """Records that came within `timeout`."""
        must_be_open("consumer", closed=self._closed)
        self._raise_from_callback()
        limit = self._config.max_poll_records if max_records is None else max_records
        deadline = time.monotonic() + timeout
        left = timeout
        while True:
            fetched = self._poll_once(min(left, POLL_SLICE), limit)
            if fetched:
                return _records(fetched)
            self._raise_from_callback()
            left = left_until(deadline)
            if left == 0 or self._woken.is_set():
                self._woken.clear()
                return []

    def renew(self) -> None:
        """Nothing is remembered that would not hold for another topic of that name."""

    def wake_up(self) -> None:
        """Make a `poll` return early, within `POLL_SLICE`."""
        self._woken.set()

    def commit(self, positions: Mapping[TopicPartition, Position]) -> None:
        """Commit these offsets now; `CommitRefused` if the group has moved on."""
        must_be_open("consumer", closed=self._closed)
        must_have_group(self._config.group)
        if self._listener is not None:
            must_still_have(positions, self.assignment())
        try:
            self._client.commit(to_offsets(positions), timeout_ms=int(self._timeouts.request * 1000))
        except _REFUSED_COMMITS as error:
            raise CommitRefused() from error
        except kafka_errors.KafkaError as error:
            raise in_words(error, self._connection) from error

    def membership(self, positions: Mapping[TopicPartition, Position]) -> ConsumerGroupMetadata:
        """Who commits these positions in a transaction; `CommitRefused` if the group has moved on."""
        must_be_open("consumer", closed=self._closed)
        must_be_member(subscribed=self._listener is not None)
        # first the generation: should another begin before the look at the partitions, the broker refuses this one
        found = self._client.group_metadata()
        must_still_have(positions, self.assignment())
        if found.generation_id < 0:  # Kafka would take the offsets of such a one
            raise CommitRefused
        return found

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position | None]:
        """What the group has committed per partition."""
        must_be_open("consumer", closed=self._closed)
        must_have_group(self._config.group)
        return {partition: self._committed(partition) for partition in partitions}

    def position(self, partition: TopicPartition) -> int | None:
        """The offset from which `poll` goes on, as far as the client knows without asking."""
        is_assigned, position = position_of(self._client, kafka.TopicPartition(*partition))
        must_be_assigned([partition], [partition] if is_assigned else [])
        return position

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from this offset."""
        must_be_assigned([partition], self.assignment())
        place = kafka.TopicPartition(*partition)
        self._client.seek(place, offset)
        forget_fetched(self._client, place)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch nothing from these partitions until `resume`."""
        must_be_assigned(partitions, self.assignment())
        self._client.pause(*to_theirs(partitions))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch from these partitions again."""
        must_be_assigned(partitions, self.assignment())
        self._client.resume(*to_theirs(partitions))

    def close(self) -> None:
        """Leave the group at once, without committing."""
        if self._closed:
            return
        try:
            self._client.close(autocommit=False, timeout_ms=int(self._timeouts.leave * 1000))
        except kafka_errors.KafkaError as error:  # the group will notice by itself
            LOGGER.warning("close: %s", error)
            let_go(self._client)
        finally:
            self._closed = True
        self._raise_from_callback()

    def _poll_once(self, timeout: float, limit: int) -> dict[kafka.TopicPartition, list[Any]]:
        keep_join(self._client)
        try:
            fetched: dict[kafka.TopicPartition, list[Any]] = self._client.poll(int(timeout * 1000), limit)
        except kafka_errors.RetriableError as error:
            # the broker is away for now
            LOGGER.warning("poll: %s", error)
            self._woken.wait(timeout)
            return {}
        except kafka_errors.KafkaError as error:
            raise in_words(error, self._connection) from error
        return fetched

    def _raise_from_callback(self) -> None:
        if self._listener is not None and self._listener.error is not None:
            error, self._listener.error = self._listener.error, None
            raise error

    def _committed(self, partition: TopicPartition) -> Position | None:
        try:
            found = self._client.committed(
                kafka.TopicPartition(*partition), metadata=True, timeout_ms=int(self._timeouts.committed * 1000)
            )
        except kafka_errors.KafkaError as error:
            raise in_words(error, self._connection) from error
        return None if found is None else to_position(found)


def to_offsets(positions: Mapping[TopicPartition, Position]) -> dict[kafka.TopicPartition, OffsetAndMetadata]:
    """As kafka-python writes positions. Members over confluent-kafka read metadata up to the first zero byte."""
    return {
        kafka.TopicPartition(*partition): OffsetAndMetadata(offset, metadata and metadata + "\0", -1)
        for partition, (offset, metadata) in positions.items()
    }


def _records(fetched: Mapping[kafka.TopicPartition, list[Any]]) -> list[Record]:
    return [
        Record(topic, partition, r.offset, r.key, r.value, readable(r.headers), r.timestamp)
        for (topic, partition), records in fetched.items()
        for r in records
    ]


def _settings(config: ConsumerConfig) -> dict[str, object]:
    session_timeout_ms = int(config.session_timeout * 1000)
    return {
        "client_id": config.client_id,
        "group_id": config.group,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "partition_assignment_strategy": [RoundRobin],
        "session_timeout_ms": session_timeout_ms,
        "heartbeat_interval_ms": min(int(HEARTBEAT_INTERVAL * 1000), session_timeout_ms // 3),
        "max_poll_interval_ms": int(config.max_poll_interval * 1000),
        "fetch_max_wait_ms": FETCH_MAX_WAIT_MS,
        "max_partition_fetch_bytes": PARTITION_FETCH_BYTES,
        "metrics_enabled": False,
    }
