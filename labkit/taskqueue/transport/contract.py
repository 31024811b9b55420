"""What a transport must do: the contract between labkit and a client of Kafka.

Three implementations: `kafka_python` (the default), `confluent` and `memory` (unit tests). They differ in
speed, not in meaning: one suite of contract tests runs over all three. Names here are the names on the
broker; the prefix of `LABKIT_TOPIC_PREFIX` has been added before (see `labkit.taskqueue.topics`).

Every call may raise `BrokerUnreachable` or `NotAuthorized`, and `TransportError` on a client that is closed;
further errors stand with the call. A broker that goes away later is waited for: `poll` returns [] until it is
back, and records are sent again until their delivery timeout. Whatever the broker does, every call ends within a time
that `Timeouts` bounds, `close` too. Times are in seconds unless the name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from labkit.lab.connection import Connection
from labkit.taskqueue.transport.group_contract import GroupAdmin, ListedGroup
from labkit.taskqueue.transport.share_contract import ShareGroups
from labkit.taskqueue.transport.values import (
    MAX_RECORD_BYTES,
    NO_OFFSET,
    ConsumerConfig,
    Headers,
    Outgoing,
    Position,
    ProducerConfig,
    Record,
    RecordMetadata,
    TopicDescription,
    TopicPartition,
)

__all__ = [
    "MAX_RECORD_BYTES",
    "NO_OFFSET",
    "AdminClient",
    "ConsumerClient",
    "ConsumerConfig",
    "GroupAdmin",
    "Headers",
    "ListedGroup",
    "OnAssignment",
    "OnDelivery",
    "Outgoing",
    "Position",
    "ProducerClient",
    "ProducerConfig",
    "Record",
    "RecordMetadata",
    "TopicDescription",
    "TopicPartition",
    "TransactionClient",
    "Transport",
]

#: Called once per record: with a Delivery when acknowledged, else with a `NotAcknowledged`. It may be called
#: from any thread, before `send` returns or after; it must be quick, must not raise and must not send.
OnDelivery = Callable[[RecordMetadata | None, Exception | None], None]


class ProducerClient(Protocol):
    """Sends records asynchronously. Safe to use from several threads."""

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
        """Hand over one record; waits while the client's buffer is full.

        `partition` None leaves the choice to the client. `timestamp_ms` None takes the time of the call.
        Raises `UnknownTopic` for a topic or partition that does not come into being within some seconds, and
        `ValueError` when there is neither key nor value. Anything else becomes known by `on_delivery`.
        """
        ...

    def flush(self, timeout: float) -> None:
        """Return when every record handed over has been acknowledged or refused; `DeadlineExceeded` otherwise."""
        ...

    def close(self, timeout: float) -> None:
        """Flush and let go of all threads; the rest is refused by `NotAcknowledged`. Closing twice is no error."""
        ...


OnAssignment = Callable[[Sequence[TopicPartition]], None]


class ConsumerClient(Protocol):
    """Reads records. Used from one thread; only `wake_up` may be called from another.

    What is in a transaction is read after its commit, and never if there is none.
    """

    def subscribe(self, topics: Sequence[str], *, on_assigned: OnAssignment, on_revoked: OnAssignment) -> None:
        """Join the group for these topics, at the next `poll`.

        The callbacks run while `poll` (or `close`) waits for them, not always on its thread. `on_assigned` gets all
        partitions of this consumer, after every rebalance, also when there are none. Each is read from its committed
        offset, not paused, whoever had it before; the callback may `seek`, `pause` and `commit`.

        `on_revoked` gets all partitions too, if there are any, before another member has them, so that it may still
        commit. When the group gave them away already (the session timed out, or no poll came in time), it is called
        too, and a commit then raises `CommitRefused`.

        An error that a callback raises comes out of this `poll`, or of the next if this one has records.
        """
        ...

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read these partitions without joining a group, until `assign` or `close`.

        They are read from the group's committed offset, else from the earliest record, unless `seek` says otherwise.
        """
        ...

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that this consumer reads now."""
        ...

    def poll(self, timeout: float, max_records: int | None = None) -> list[Record]:
        """At most `max_records` (by default `max_poll_records`) that came within `timeout`, per partition in order."""
        ...

    def renew(self) -> None:
        """The topic that is read was made anew: remember nothing of it. A member may leave the group and join again."""
        ...

    def wake_up(self) -> None:
        """Make a `poll` that waits, or the next one, return early. Safe from any thread."""
        ...

    def commit(self, positions: Mapping[TopicPartition, Position]) -> None:
        """Commit these offsets now, all or none.

        Raises `CommitRefused` if the group has moved on: this consumer is no longer in its generation, or no longer
        has one of the partitions; `MetadataTooLarge` for a position with more text than the broker takes.
        """
        ...

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position | None]:
        """What the group has committed per partition; None where nothing was.

        It waits for the end of a transaction that commits for one of them. If its client was killed, the broker ends
        it, some seconds after `TRANSACTION_TIMEOUT`.
        """
        ...

    def position(self, partition: TopicPartition) -> int | None:
        """The offset from which `poll` goes on; None until that is known. The partition must be assigned.

        It is beyond the last record returned and, after a `poll` that returned nothing, beyond what is no record for
        anybody: the end of a transaction takes an offset too, and so does what was given up.
        """
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from this offset. The partition must be assigned."""
        ...

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch nothing from these partitions until `resume`; membership in the group stays."""
        ...

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch from these partitions again."""
        ...

    def close(self) -> None:
        """Leave the group at once, without committing. Closing twice is no error."""
        ...


class TransactionClient(Protocol):
    """Writes in transactions (KIP-98). Used from one thread.

    To make one settles what another with the same id left open when its process died. Should both live, they work
    one after the other: when the newer one has begun to work, the older one's next `write` raises `TransportError`
    and writes nothing; the one after that takes over again.
    """

    def write(
        self,
        records: Sequence[Outgoing],
        positions: Mapping[TopicPartition, Position] | None = None,
        consumer: ConsumerClient | None = None,
    ) -> None:
        """Write all records and commit the positions for the consumer's group, or nothing of it.

        The consumer is one of the same transport and has subscribed. After these errors nothing was written:
        `CommitRefused` and `MetadataTooLarge`, as for `commit` (KIP-447); `NotAcknowledged` for a record that is too
        large; `UnknownTopic`; `ValueError` for a record with neither key nor value, and for positions without such a
        consumer. After any other `TransportError` it is open whether it was written, but never is it a part.
        After any error the client can be used again; it first settles what was left open. Positions alone will do.
        """
        ...

    def close(self) -> None:
        """Let go of every thread and socket. Closing twice is no error."""
        ...


class AdminClient(GroupAdmin, Protocol):
    """Asks and changes what the broker knows; of groups, see `GroupAdmin`."""

    def create_topic(
        self,
        name: str,
        *,
        partitions: int,
        replication_factor: int | None = None,
        config: Mapping[str, str] | None = None,
        validate_only: bool = False,
    ) -> bool:
        """Create a topic and return when it can be used: True if made now, False if the name was taken.

        Without a replication factor the brokers' default applies (KIP-464). With `validate_only` nothing is made.
        Raises `TransportError` for what cannot be (such as a name that differs only by '.' for '_'), or not in time.
        """
        ...

    def describe_topic(self, name: str) -> TopicDescription:
        """The topic's shape; raises `UnknownTopic`."""
        ...

    def topic_ids(self, names: Iterable[str]) -> dict[str, str]:
        """The ids of these topics (KIP-516), without those that do not exist: see `TopicDescription.id`."""
        ...

    def list_topics(self) -> list[str]:
        """The names of all topics but Kafka's internal ones, sorted."""
        ...

    def grow_topic(self, name: str, *, partitions: int) -> None:
        """Raise the number of partitions; `UnknownTopic`, `TopicMismatch` when it would not grow."""
        ...

    def delete_topic(self, name: str) -> None:
        """Delete a topic and return when it is gone; raises `TransportError`."""
        ...

    def end_offsets(self, topic: str, *, available_only: bool = False) -> dict[int, int]:
        """Per partition, the offset that the next record will get, also when consumers cannot read that far yet.

        Raises `BrokerUnreachable` if a partition has no leader; with `available_only` such ones are left out.
        """
        ...

    def start_offsets(self, topic: str) -> dict[int, int]:
        """Per partition, the offset of the first record kept."""
        ...

    def offsets_at(self, topic: str, timestamp_ms: int) -> dict[int, int]:
        """Per partition, the offset of the first record of that time or later; the end where there is none."""
        ...

    def close(self) -> None:
        """Let go of the sockets. Closing twice is no error."""
        ...


class Transport(Protocol):
    """A way to one Kafka cluster. `connection` is what another process needs to get there; None in memory."""

    name: str
    connection: Connection | None

    def producer(self, config: ProducerConfig) -> ProducerClient:
        """A new producer; it connects at once or raises `BrokerUnreachable`."""
        ...

    def consumer(self, config: ConsumerConfig) -> ConsumerClient:
        """A new consumer."""
        ...

    def transactions(self, transactional_id: str) -> TransactionClient:
        """A new client for transactions; it connects at once. The id is the same after a restart."""
        ...

    def admin(self) -> AdminClient:
        """A new admin client."""
        ...

    def share_groups(self) -> ShareGroups:
        """The share groups (KIP-932); raises `Unsupported` where the client has none."""
        ...
