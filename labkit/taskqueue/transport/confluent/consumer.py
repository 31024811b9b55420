"""The consumer over confluent-kafka. Threads of librdkafka send heartbeats and fetch ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, Consumer, KafkaError, KafkaException

from labkit.errors import CommitRefused, LabkitError
from labkit.lab.connection import Connection
from labkit.taskqueue.timeouts import left_until
from labkit.taskqueue.transport import checks
from labkit.taskqueue.transport.confluent.client import (
    REFUSALS,
    REQUEST_TIMEOUT,
    connect,
    in_words,
    kafka_error,
    to_offsets,
    to_ours,
    to_theirs,
)
from labkit.taskqueue.transport.confluent.consumer_settings import settings_of
from labkit.taskqueue.transport.contract import ConsumerConfig, OnAssignment, Position, Record, TopicPartition
from labkit.taskqueue.transport.library_logs import LOGGER
from labkit.taskqueue.transport.values import COMMITTED_TIMEOUT

#: How long one wait inside `poll` may be, in seconds: confluent-kafka cannot be woken from another thread.
POLL_SLICE = 0.1
#: How long leaving the group may take, and one wait meanwhile, in seconds; and how much is thrown away at once.
LEAVE_TIMEOUT, LEAVE_SLICE, MANY = 2.0, 0.02, 1000

#: The codes by which a broker says that a group has moved on.
REFUSED_COMMITS = {
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError._ASSIGNMENT_LOST,
}


class ConfluentConsumer:
    """See `labkit.taskqueue.transport.contract.ConsumerClient`."""

    def __init__(self, connection: Connection, config: ConsumerConfig) -> None:
        self._connection = connection
        self._config = config
        self._client = connect(Consumer, connection, **settings_of(config))
        self._assignment: frozenset[TopicPartition] = frozenset()
        # what to do when the assignment begins, from `seek` and `pause` before the library can do it
        self._starts: dict[TopicPartition, int] | None = None
        self._paused: set[TopicPartition] = set()
        # how far there was something to read, by the library's word; past the marks that end a transaction
        self._ends: dict[TopicPartition, int] = {}
        self._revocations = 0
        self._error: BaseException | None = None
        self._woken = threading.Event()
        self._subscribed = False
        self._leaving = False
        self._closed = False

    def subscribe(self, topics: Sequence[str], *, on_assigned: OnAssignment, on_revoked: OnAssignment) -> None:
        """Join the group for these topics, at the next `poll`."""
        checks.must_have_group(self._config.group)

        def assigned(_: Consumer, partitions: list[confluent_kafka.TopicPartition]) -> None:
            if self._leaving:
                self._client.unassign()
                return
            self._assignment = to_ours(partitions)
            self._starts = {}
            self._call(on_assigned, sorted(self._assignment))
            self._begin()

        def revoked(_: Consumer, partitions: list[confluent_kafka.TopicPartition]) -> None:
            mine = to_ours(partitions) & self._assignment  # what comes while this one leaves was never begun
            if mine:
                self._call(on_revoked, sorted(mine))
            self._assignment = frozenset()
            self._revocations += 1

        self._subscribed = True
        self._client.subscribe(list(topics), on_assign=assigned, on_revoke=revoked, on_lost=revoked)

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read these partitions without a group, from the next `poll` on."""
        self._look_up({tp.topic for tp in partitions})
        self._assignment = frozenset(partitions)
        self._starts = {}
        self._paused = set()

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that this consumer reads now."""
        return self._assignment

    def poll(self, timeout: float, max_records: int | None = None) -> list[Record]:
        """Records that came within `timeout`."""
        checks.must_be_open("consumer", closed=self._closed)
        self._raise_from_callback()
        if self._starts is not None:
            self._begin()
        limit = self._config.max_poll_records if max_records is None else max_records
        deadline = time.monotonic() + timeout
        left = timeout
        while True:
            records = self._records(self._gather(min(left, POLL_SLICE), limit))
            if records:
                return records
            self._raise_from_callback()
            left = left_until(deadline)
            if left == 0 or self._woken.is_set():
                self._woken.clear()
                return []

    def wake_up(self) -> None:
        """Make a `poll` return early, within `POLL_SLICE`."""
        self._woken.set()

    def commit(self, positions: Mapping[TopicPartition, Position]) -> None:
        """Commit these offsets now; `CommitRefused` if the group has moved on."""
        checks.must_be_open("consumer", closed=self._closed)
        checks.must_have_group(self._config.group)
        if self._subscribed:
            checks.must_still_have(positions, self._assignment)
        if not positions:
            return
        try:
            answers = self._client.commit(offsets=to_offsets(positions), asynchronous=False) or []
        except KafkaException as error:
            raise self._commit_error(kafka_error(error)) from error
        for answer in answers:
            if answer.error is not None:
                raise self._commit_error(answer.error)

    def membership(self, positions: Mapping[TopicPartition, Position]) -> Any:
        """Who commits these positions in a transaction; `CommitRefused` if the group has moved on."""
        checks.must_be_open("consumer", closed=self._closed)
        checks.must_be_member(subscribed=self._subscribed)
        # first the generation: should another begin before the look at the partitions, the broker refuses this one
        found = self._client.consumer_group_metadata()
        checks.must_still_have(positions, self._assignment)
        if not self._client.memberid():  # Kafka would take the offsets of such a one
            raise CommitRefused
        return found

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position | None]:
        """What the group has committed per partition."""
        checks.must_be_open("consumer", closed=self._closed)
        checks.must_have_group(self._config.group)
        try:
            answers = self._client.committed(to_theirs(partitions), timeout=COMMITTED_TIMEOUT)
        except KafkaException as error:
            raise in_words(kafka_error(error), self._connection) from error
        found: dict[TopicPartition, Position | None] = dict.fromkeys(partitions)
        for answer in answers:
            if answer.error is not None:
                raise in_words(answer.error, self._connection)
            if answer.offset >= 0:
                found[TopicPartition(answer.topic, answer.partition)] = Position(answer.offset, answer.metadata or "")
        return found

    def position(self, partition: TopicPartition) -> int | None:
        """The offset from which `poll` goes on, as far as the client knows without asking."""
        checks.must_be_assigned([partition], self._assignment)
        [found] = self._client.position([confluent_kafka.TopicPartition(*partition)])
        known = max(found.offset, self._ends.get(partition, OFFSET_INVALID))
        return None if known < 0 else known

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from this offset."""
        checks.must_be_assigned([partition], self._assignment)
        self._ends.pop(partition, None)
        if self._starts is not None:
            self._starts[partition] = offset
            return
        try:
            self._client.seek(confluent_kafka.TopicPartition(*partition, offset))
        except KafkaException as error:
            raise in_words(kafka_error(error), self._connection) from error

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch nothing from these partitions until `resume`."""
        checks.must_be_assigned(partitions, self._assignment)
        self._paused.update(partitions)
        if self._starts is None:
            self._client.pause(to_theirs(partitions))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch from these partitions again."""
        checks.must_be_assigned(partitions, self._assignment)
        self._paused.difference_update(partitions)
        if self._starts is None:
            self._client.resume(to_theirs(partitions))

    def close(self) -> None:
        """Leave the group at once, without committing."""
        if self._closed:
            return
        try:
            if self._subscribed:
                self._leave()
            self._client.close()
        finally:
            self._closed = True
        self._raise_from_callback()

    def _leave(self) -> None:
        """Leave the group as long as its events are answered.

        librdkafka may wait for ever for what becomes of an event that it meets while it closes (its issue 4884).
        """
        self._leaving = True
        deadline = time.monotonic() + LEAVE_TIMEOUT
        try:
            self._client.unsubscribe()
            self._client.consume(MANY, 0)
            while self._client.assignment() and left_until(deadline):
                self._client.consume(MANY, LEAVE_SLICE)
        except KafkaException as error:
            LOGGER.warning("leaving the group: %s", kafka_error(error).str())

    def _look_up(self, topics: Iterable[str]) -> None:
        """Get to know these topics now: librdkafka would take a second for one that it has not heard of."""
        try:
            for topic in topics:
                self._client.list_topics(topic, timeout=REQUEST_TIMEOUT)
        except KafkaException as error:
            raise in_words(kafka_error(error), self._connection) from error

    def _begin(self) -> None:
        """Read the assigned partitions from where `seek` said, or from the committed offset."""
        usual = OFFSET_BEGINNING if self._config.group is None else OFFSET_INVALID
        starts, self._starts = self._starts or {}, None
        self._ends.clear()
        self._client.assign(
            [confluent_kafka.TopicPartition(*tp, starts.get(tp, usual)) for tp in sorted(self._assignment)]
        )
        # librdkafka remembers what was paused before, also across rebalances
        self._client.resume(to_theirs(sorted(self._assignment - self._paused)))
        self._client.pause(to_theirs(sorted(self._paused)))

    def _call(self, callback: OnAssignment, partitions: list[TopicPartition]) -> None:
        # an error that left the callback here would take with it the records that the library has in hand
        self._paused = set()
        try:
            callback(partitions)
        except BaseException as error:  # noqa: BLE001 - raised again by `poll`
            self._error = error

    def _raise_from_callback(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _gather(self, timeout: float, limit: int) -> list[Any]:
        """The messages that are there; waits for the first.

        Not by the library's `consume`: that one waits for the last, and when a rebalance comes meanwhile nobody
        can tell which of its messages are from before.
        """
        messages: list[Any] = []
        while len(messages) < limit:
            revocations = self._revocations
            message = self._client.poll(0 if messages else timeout)
            if revocations != self._revocations:
                messages.clear()  # whoever has their partitions now begins with what was committed
            if message is None:
                break
            messages.append(message)
        return messages

    def _records(self, messages: list[Any]) -> list[Record]:
        records = []
        for m in messages:
            if m.error() is None:
                headers = m.headers()
                place = m.topic(), m.partition(), m.offset()
                records.append(Record(*place, m.key(), m.value(), tuple(headers or ()), m.timestamp()[1]))
            else:
                self._take_note(m.error(), m)
        return records

    def _take_note(self, error: KafkaError, message: Any) -> None:
        """Raise what the user must mend; a topic that is not there yet or a poll that came late is only logged."""
        if error.code() == KafkaError._PARTITION_EOF:
            self._ends[TopicPartition(message.topic(), message.partition())] = message.offset()
            return
        if error.fatal() or error.code() in REFUSALS:
            raise in_words(error, self._connection)
        LOGGER.warning("%s", error.str())

    def _commit_error(self, error: KafkaError) -> LabkitError:
        return CommitRefused() if error.code() in REFUSED_COMMITS else in_words(error, self._connection)
