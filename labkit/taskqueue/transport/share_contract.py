"""What a transport must do for share groups (KIP-932): a part of `labkit.taskqueue.transport.contract`.

In a share group all members read all partitions, and the broker locks each record for one of them at a time. The
errors are those of the contract. Times are in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, NoReturn, Protocol

from labkit.errors import Unsupported
from labkit.taskqueue.transport.values import Record, TopicPartition

#: What becomes of a record: it is done; it is for any member again; it is given up.
Acknowledgement = Literal["accept", "release", "reject"]

#: How often a record may be delivered; the most that brokers allow unless they are told otherwise. After that the
#: broker gives it up, and says so to nobody.
DELIVERIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareConfig:
    """How a member of a share group reads, and the settings of the group, which each member makes when it begins.

    A record is locked for the member for `lock` seconds; brokers allow 15 to 60 unless they are told otherwise, the
    lab's from 1 on. A new group reads from the earliest record, and records that are committed only.
    `max_poll_records` is a wish: the broker hands out whole batches, as the producer wrote them.
    """

    group: str
    client_id: str = "labkit-share-consumer"
    lock: float = 30.0
    max_poll_records: int = 500


class SharedRecord(NamedTuple):
    """A record and how often it was delivered, with this time."""

    record: Record
    deliveries: int


class ShareLag(NamedTuple):
    """How far a group is on a partition: all before `start` is through, and of what comes then so many are `left`.

    The broker counts offsets, also those without a record that can be read: of an aborted transaction, or cut off.
    """

    start: int
    left: int


class ShareClient(Protocol):
    """One member of a share group. Used from one thread."""

    @property
    def lock(self) -> float:
        """How long a record of the next `poll` is locked, in seconds: the group's last setting counts for all."""
        ...

    def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group for these topics, at the next `poll`."""
        ...

    def poll(self, timeout: float) -> list[SharedRecord]:
        """Records that came within `timeout`, locked for this member; [] if none did.

        Every record of the last `poll` must have its verdict before: `TransportError`. Raises `TransportError` also
        if the group is a consumer group already.
        """
        ...

    def acknowledge(self, record: Record, verdict: Acknowledgement) -> None:
        """What becomes of this record; the broker learns it with the next `commit`.

        Raises `CommitRefused` if this member no longer has the record: it is delivered again.
        """
        ...

    def commit(self) -> None:
        """Tell the broker all verdicts since the last commit.

        Raises `CommitRefused` if the lock on one of the records was over: then the verdicts on all records of its
        partition in this commit are void, and those records are delivered again. After any other `TransportError`,
        as `BrokerUnreachable`, it is open which verdicts hold.
        """
        ...

    def close(self) -> None:
        """Leave the group; what has no verdict is released. Closing twice is no error."""
        ...


class ShareGroups(Protocol):
    """The share groups of one cluster."""

    def consumer(self, config: ShareConfig) -> ShareClient:
        """A new member; it connects at once and makes the group's settings.

        Raises `Unsupported` if the broker has no share groups, or does not allow these settings.
        """
        ...

    def members(self, group: str) -> dict[str, frozenset[TopicPartition]]:
        """The members of the group by client id, with the partitions they read; {} if there is no such group.

        A member that was killed is among them until its session is over, which takes 45 s by default.
        """
        ...

    def lag(self, group: str, topic: str) -> Mapping[int, ShareLag]:
        """How many offsets of each partition are neither accepted nor given up (KIP-1226).

        Partitions that the group has not read yet are left out.
        """
        ...

    def close(self) -> None:
        """Let go of the sockets. Closing twice is no error. Consumers are closed by themselves."""
        ...


def no_share_groups(transport: str) -> NoReturn:
    """Raise `Unsupported` for a transport whose client has no share groups."""
    raise Unsupported(
        f"The transport {transport!r} has no share groups (KIP-932); only confluent-kafka has a client for them. "
        "Set LABKIT_TRANSPORT=confluent-kafka, or use mode 'group'."
    )
