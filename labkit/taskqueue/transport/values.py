"""What passes between labkit and a client of Kafka: records, places, offsets, and how clients are set up.

Times are in seconds unless the name says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

Headers = tuple[tuple[str, bytes], ...]

#: The header that stands with those of a record which are not all as they were, and says why. No task has it.
UNREADABLE = "labkit-unreadable"
#: That header where the name of another is no UTF-8, which no client library reads.
NAME_UNREADABLE = (UNREADABLE, b"the name of a header is no UTF-8")


def readable(headers: Iterable[tuple[str, bytes | None]]) -> Headers:
    """Headers of which each has a value: one without gets an empty one, and it is said that it had none."""
    found = tuple(headers)
    for name, value in found:
        if value is None:
            why = f"the header {name!r} has no value".encode(errors="backslashreplace")
            return (*((name, value or b"") for name, value in found), (UNREADABLE, why))
    return found  # type: ignore[return-value]  # mypy does not see that none is None


#: How much a record may take with key, value and headers, in bytes. Brokers take little more by default.
MAX_RECORD_BYTES = 1_000_000
#: The same for an `Outgoing`: clients of others may write larger ones, as far as the topic lets them, and what became
#: of them is to be written down too.
MAX_OUTGOING_BYTES = 20_000_000
#: How large a record may be, in bytes: the setting of a topic, and what a broker takes without it.
LARGEST, LARGEST_BY_DEFAULT = "max.message.bytes", 1_048_588
#: What client libraries are told to let through for it: they count more than key, value and headers.
MAX_COUNTED_BYTES = MAX_OUTGOING_BYTES + 10_000
#: When a transaction is given up, by its client and by the broker, in seconds.
TRANSACTION_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long the clients of a transport wait, in seconds. Every call into a client library ends by one of these.

    `connect` is for a client to find the cluster when it is made, `request` for one answer of a broker, `transaction`
    for one transaction, `abort` for giving it up (what is left open then, the next client settles), and `leave` for
    leaving a group and letting go of threads.
    """

    connect: float = 5.0
    request: float = 10.0
    transaction: float = TRANSACTION_TIMEOUT
    abort: float = 2.0
    leave: float = 2.0

    @property
    def committed(self) -> float:
        """For what a group has committed.

        A broker looks every 10 s, by default, for transactions whose time is up; until then it does not say what they
        would change.
        """
        return self.transaction + 15.0


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Record(NamedTuple):
    """A record as it was read from a partition. A tuple, because workers make tens of thousands a second."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int


#: The offset of a `Delivery` with `acks="0"`: the broker does not say.
NO_OFFSET = -1


class Outgoing(NamedTuple):
    """A record to be written in a transaction. `partition` None: by the key, or any where there is none."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class RecordMetadata(NamedTuple):
    """Where the broker put a record that it has acknowledged."""

    partition: int
    offset: int


class Position(NamedTuple):
    """A committed offset (the next record to read) and the free text committed with it."""

    offset: int
    metadata: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicDescription:
    """A topic's shape as the broker has it. `config` holds what was set on the topic itself, not the defaults.

    `id` is that of this very topic (KIP-516): one of the same name, made later or in another cluster, has another.
    """

    name: str
    id: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerConfig:
    """How a producer sends.

    `acks` is "all", "1" or "0"; with "all" and retries the producer is idempotent (KIP-98), so that a retry
    makes no duplicate. `compression` is "none", "gzip" or "lz4".
    """

    client_id: str = "labkit-producer"
    acks: str = "all"
    retries: int = 10
    linger_ms: int = 5
    compression: str = "none"
    delivery_timeout: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerConfig:
    """How a consumer reads. Offsets are never committed by themselves; a new group reads from the earliest.

    `group` None: no group, only `assign`. Partitions are assigned round robin over the members, which are ordered by
    their member id; that id begins with `client_id`, so worker-1 comes before worker-2. A member that is silent for
    `session_timeout` is dead and loses its partitions; one that does not poll for `max_poll_interval` leaves the group,
    and joins it again with its next poll.
    """

    group: str | None = None
    client_id: str = "labkit-consumer"
    session_timeout: float = 6.0
    max_poll_interval: float = 300.0
    max_poll_records: int = 500
