"""The consumer over confluent-kafka. Threads of librdkafka send heartbeats and fetch ahead.

While a broker does not answer, a commit may hang in librdkafka, and the client takes no other call meanwhile. So all
calls are made on a thread of the client's, and this object waits for it no longer than it says: while it hangs, `poll`
returns nothing, what asks the broker raises `BrokerUnreachable`, and `close` leaves the client behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException

from labkit.errors import BrokerUnreachable, CommitRefused, LabkitError
from labkit.lab.connection import Connection
from labkit.taskqueue.transport import checks
from labkit.taskqueue.transport.confluent.client import connect, in_words, kafka_error
from labkit.taskqueue.transport.confluent.client_thread import ClientThread, Order
from labkit.taskqueue.transport.confluent.reader import POLL_SLICE, Reader, usual_start
from labkit.taskqueue.transport.contract import (
    ConsumerConfig,
    OnAssignment,
    Position,
    Record,
    TopicPartition,
)
from labkit.taskqueue.transport.library_logs import LOGGER
from labkit.taskqueue.transport.reachability import unreachable
from labkit.taskqueue.transport.values import Timeouts

#: The codes by which a broker says that a group has moved on.
REFUSED_COMMITS = {
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError._ASSIGNMENT_LOST,
}
#: How often a member says that it lives and hears of a rebalance, in seconds; a third of the session at most.
HEARTBEAT_INTERVAL = 0.3
#: How long the broker holds a fetch when there is nothing new, in ms. A partition that was just resumed or
#: assigned may wait as long until it is fetched.
FETCH_MAX_WAIT_MS = 100
#: librdkafka wants a group's name even where none is joined.
NO_GROUP = "labkit-without-a-group"
#: How much longer than its own time-out a call may take until its client counts as hanging, in seconds.
MARGIN = 5.0

Answer = TypeVar("Answer")


class ConfluentConsumer:
    """See `labkit.taskqueue.transport.contract.ConsumerClient`."""

    def __init__(self, connection: Connection, config: ConsumerConfig, timeouts: Timeouts) -> None:
        self._connection = connection
        self._config = config
        self._timeouts = timeouts
        self._error: BaseException | None = None
        self._subscription: tuple[Sequence[str], OnAssignment, OnAssignment] | None = None
        self._closed = False
        self._connect()

    def _connect(self) -> None:
        client: Consumer = connect(Consumer, self._connection, self._timeouts, **settings_of(self._config))
        self._reader = Reader(client, self._connection, usual_start=usual_start(self._config.group))
        self._thread = ClientThread(f"{self._config.client_id}-client")
        # a poll that was waited for in vain; what it brings is the next one's
        self._fetch: Order[list[Record]] | None = None
        # the call that hangs, if it has not returned yet
        self._hung: Order[Any] | None = None

    def subscribe(self, topics: Sequence[str], *, on_assigned: OnAssignment, on_revoked: OnAssignment) -> None:
        """Join the group for these topics, at the next `poll`."""
        checks.must_have_group(self._config.group)

        def telling(callback: OnAssignment) -> Callable[[list[TopicPartition]], None]:
            return lambda partitions: self._thread.call_owner(lambda: self._tell(callback, partitions))

        self._subscription = topics, on_assigned, on_revoked
        tell_assigned, tell_revoked = telling(on_assigned), telling(on_revoked)
        self._ask(lambda: self._reader.subscribe(topics, on_assigned=tell_assigned, on_revoked=tell_revoked))

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read these partitions without a group, from the next `poll` on."""
        if self._reader.assignment:
            self.renew()
        timeout = self._timeouts.request
        topics = len({tp.topic for tp in partitions})
        try:
            self._ask(lambda: self._reader.assign(partitions, timeout), topics * timeout + MARGIN)
        except KafkaException as error:
            raise in_words(kafka_error(error), self._connection) from error
        self._fetch = None  # what it may have brought is of the assignment before

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that this consumer reads now."""
        return self._reader.assignment

    def poll(self, timeout: float, max_records: int | None = None) -> list[Record]:
        """Records that came within `timeout`."""
        checks.must_be_open("consumer", closed=self._closed)
        self._raise_from_callback()
        limit = self._config.max_poll_records if max_records is None else max_records
        fetch = self._fetch or self._thread.order(lambda: self._reader.fetch(timeout, limit))
        self._fetch = None
        if not self._thread.wait(fetch, timeout + POLL_SLICE, callbacks=True):
            self._fetch = fetch
            return []
        records: list[Record] = fetch.answer()
        if not records:
            self._raise_from_callback()
        return records

    def renew(self) -> None:
        """With another client. librdkafka takes what it hears of a topic made anew for old news where the one before
        had had another leader: its epochs begin again (KIP-320), and fetches fail without end.
        """
        checks.must_be_open("consumer", closed=self._closed)
        self._leave()
        self._connect()
        if self._subscription is not None:
            topics, on_assigned, on_revoked = self._subscription
            self.subscribe(topics, on_assigned=on_assigned, on_revoked=on_revoked)

    def wake_up(self) -> None:
        """Make a `poll` return early, within `POLL_SLICE`."""
        self._reader.woken.set()

    def commit(self, positions: Mapping[TopicPartition, Position]) -> None:
        """Commit these offsets now; `CommitRefused` if the group has moved on."""
        checks.must_be_open("consumer", closed=self._closed)
        checks.must_have_group(self._config.group)
        if self._subscription is not None:
            checks.must_still_have(positions, self._reader.assignment)
        if not positions:
            return
        try:
            answers = self._ask(lambda: self._reader.commit(positions))
        except KafkaException as error:
            raise self._commit_error(kafka_error(error)) from error
        for answer in answers:
            if answer.error is not None:
                raise self._commit_error(answer.error)

    def membership(self, positions: Mapping[TopicPartition, Position]) -> Any:
        """Who commits these positions in a transaction; `CommitRefused` if the group has moved on."""
        checks.must_be_open("consumer", closed=self._closed)
        checks.must_be_member(subscribed=self._subscription is not None)
        # first the generation: should another begin before the look at the partitions, the broker refuses this one
        found, is_member = self._ask(self._reader.membership)
        checks.must_still_have(positions, self._reader.assignment)
        if not is_member:  # Kafka would take the offsets of such a one
            raise CommitRefused
        return found

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position | None]:
        """What the group has committed per partition."""
        checks.must_be_open("consumer", closed=self._closed)
        checks.must_have_group(self._config.group)
        timeout = self._timeouts.committed
        try:
            answers = self._ask(lambda: self._reader.committed(partitions, timeout), timeout + MARGIN)
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
        checks.must_be_assigned([partition], self._reader.assignment)
        if self._is_hanging():
            return None
        try:
            position = self._ask(lambda: self._reader.position(partition))
        except BrokerUnreachable:  # it hangs from now on
            return None
        # the client is past what a poll that was waited for in vain has brought; the next poll is not
        return next((record.offset for record in self._fetched() if _is_of(record, partition)), position)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from this offset."""
        checks.must_be_assigned([partition], self._reader.assignment)
        try:
            self._ask(lambda: self._reader.seek(partition, offset))
        except KafkaException as error:
            raise in_words(kafka_error(error), self._connection) from error
        if fetched := self._fetched():
            rest = [record for record in fetched if not _is_of(record, partition)]
            self._fetch = self._thread.order(lambda: rest)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch nothing from these partitions until `resume`."""
        checks.must_be_assigned(partitions, self._reader.assignment)
        self._thread.order(lambda: self._reader.pause(partitions))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch from these partitions again."""
        checks.must_be_assigned(partitions, self._reader.assignment)
        self._thread.order(lambda: self._reader.resume(partitions))

    def close(self) -> None:
        """Leave the group at once, without committing."""
        if self._closed:
            return
        try:
            self._leave()
        finally:
            self._closed = True
        self._raise_from_callback()

    def _leave(self) -> None:
        leave, reader = self._timeouts.leave, self._reader
        if self._fetch is not None:  # it may be inside a callback, in which the group cannot be left
            self._thread.wait(self._fetch, leave, callbacks=True)
        # behind whatever hangs: the client is closed when that has returned
        is_member = self._subscription is not None
        last = self._thread.order(lambda: reader.leave(leave) if is_member else reader.close())
        has_left = self._thread.wait(last, 2 * leave, callbacks=True)
        if not self._thread.end(leave if has_left else 0):
            LOGGER.warning("%s is left behind, since it does not close", self._config.client_id)

    def _ask(self, call: Callable[[], Answer], timeout: float | None = None) -> Answer:
        """What a call returns or raises; `BrokerUnreachable` if the client hangs."""
        if not self._is_hanging():
            order = self._thread.order(call)
            if self._thread.wait(order, self._timeouts.request if timeout is None else timeout):
                answer: Answer = order.answer()
                return answer
            self._hung = order
        raise unreachable(self._connection)

    def _fetched(self) -> list[Record]:
        """What a poll that was waited for in vain has brought and none has given out yet, in the order of offsets."""
        if self._fetch is None or not self._fetch.done or self._fetch.failed:
            return []
        records: list[Record] = self._fetch.answer()
        return records

    def _is_hanging(self) -> bool:
        return self._hung is not None and not self._hung.done

    def _tell(self, callback: OnAssignment, partitions: list[TopicPartition]) -> None:
        # an error that left the library's own callback would take with it the records that the library has in hand
        try:
            callback(partitions)
        except BaseException as error:  # noqa: BLE001 - raised again by `poll`
            self._error = error

    def _raise_from_callback(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _commit_error(self, error: KafkaError) -> LabkitError:
        return CommitRefused() if error.code() in REFUSED_COMMITS else in_words(error, self._connection)


def _is_of(record: Record, partition: TopicPartition) -> bool:
    return (record.topic, record.partition) == partition


def settings_of(config: ConsumerConfig) -> dict[str, object]:
    """What librdkafka is told, by the names of Python, with underscores."""
    session_timeout_ms = int(config.session_timeout * 1000)
    return {
        "client_id": config.client_id,
        "group_id": config.group or NO_GROUP,
        "enable_auto_commit": False,
        "enable_auto_offset_store": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "enable_partition_eof": True,
        "partition_assignment_strategy": "roundrobin",
        "session_timeout_ms": session_timeout_ms,
        "heartbeat_interval_ms": min(int(HEARTBEAT_INTERVAL * 1000), session_timeout_ms // 3),
        "max_poll_interval_ms": max(int(config.max_poll_interval * 1000), session_timeout_ms),
        "fetch_wait_max_ms": FETCH_MAX_WAIT_MS,
    }
