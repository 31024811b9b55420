"""What the contract's tests work with. The module that runs them gives `transport` and `doomed`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field

import pytest

from labkit.errors import UnknownTopic
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport import (
    AdminClient,
    ConsumerClient,
    ConsumerConfig,
    ProducerClient,
    ProducerConfig,
    Record,
    RecordMetadata,
    TopicPartition,
    Transport,
)

#: How long anything on the broker may take, in seconds.
TIMEOUT = 60.0
#: The shortest session that the test's broker allows, in seconds.
SHORT_SESSION = 1.0
#: A session that lasts longer than anything here is waited for, in seconds.
LONG_SESSION = 3 * TIMEOUT
#: How soon a member has to poll again in tests of those that do not; long enough for a busy machine, in seconds.
SHORT_INTERVAL = 2.0


@pytest.fixture(scope="module")
def admin(transport: Transport) -> Iterator[AdminClient]:
    with closing(transport.admin()) as admin:
        yield admin


@pytest.fixture
def topic(admin: AdminClient, unique_name: str) -> Iterator[str]:
    """A topic with two partitions."""
    admin.create_topic(unique_name, partitions=2)
    yield unique_name
    with suppress(UnknownTopic):
        admin.delete_topic(unique_name)


@pytest.fixture
def outbox(transport: Transport) -> Iterator[Outbox]:
    """A producer that remembers what came of each record."""
    with Outbox(transport) as outbox:
        yield outbox


@pytest.fixture
def reader(transport: Transport) -> Iterator[ConsumerClient]:
    """A consumer without a group."""
    with closing(transport.consumer(ConsumerConfig())) as consumer:
        yield consumer


@pytest.fixture
def join(transport: Transport, topic: str) -> Iterator[Callable[..., Member]]:
    """A function that makes a member of the group that is named like the topic."""
    with ExitStack() as open_members:

        def new_member(name: str, **config: object) -> Member:
            consumer = transport.consumer(ConsumerConfig(group=topic, client_id=name, **config))
            return open_members.enter_context(closing(Member(consumer, topic)))

        yield new_member


class Outbox:
    """A producer and what came of each record it sent, in no order: it may become known on two threads."""

    def __init__(self, transport: Transport, **config: object) -> None:
        self.client: ProducerClient = transport.producer(ProducerConfig(**config))
        self.outcomes: list[tuple[RecordMetadata | None, Exception | None]] = []

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close(TIMEOUT)

    def send(self, topic: str, value: bytes | None = b"value", *, partition: int | None = 0, **options: object) -> None:
        record = {"key": None, "headers": (), "timestamp_ms": None} | options
        self.client.send(
            topic,
            partition=partition,
            value=value,
            on_delivery=lambda delivery, error: self.outcomes.append((delivery, error)),
            **record,
        )

    def send_all(self, topic: str, values: list[bytes], *, partition: int = 0) -> None:
        for value in values:
            self.send(topic, value, partition=partition)
        self.client.flush(TIMEOUT)

    def delivered(self) -> list[RecordMetadata]:
        """Flush; all records must have been acknowledged."""
        self.client.flush(TIMEOUT)
        assert [error for _, error in self.outcomes if error is not None] == []
        return [delivery for delivery, _ in self.outcomes if delivery is not None]


@dataclass
class Member:
    """A consumer that subscribes to one topic, and what happened to it, in order."""

    client: ConsumerClient
    topic: str
    records: list[Record] = field(default_factory=list)
    events: list[tuple[str, list[int]]] = field(default_factory=list)
    on_assigned: Callable[[list[TopicPartition]], object] = lambda _: None
    on_revoked: Callable[[list[TopicPartition]], object] = lambda _: None

    def __post_init__(self) -> None:
        self.client.subscribe([self.topic], on_assigned=self._assigned, on_revoked=self._revoked)

    def _assigned(self, partitions: list[TopicPartition]) -> None:
        self.events.append(("assigned", [tp.partition for tp in partitions]))
        self.on_assigned(partitions)

    def _revoked(self, partitions: list[TopicPartition]) -> None:
        self.events.append(("revoked", [tp.partition for tp in partitions]))
        self.on_revoked(partitions)

    def poll(self) -> None:
        self.records += self.client.poll(0.05)

    def partitions(self) -> list[int]:
        return sorted(tp.partition for tp in self.client.assignment())

    def values(self) -> list[bytes | None]:
        return [record.value for record in self.records]

    def close(self) -> None:
        self.client.close()


def poll_until(condition: Callable[[], bool], *members: Member, timeout: float = TIMEOUT) -> None:
    """Poll the members in turn until the condition holds."""

    def poll_and_look() -> bool:
        for member in members:
            member.poll()
        return condition()

    wait_until(poll_and_look, timeout=timeout, what="the members were to get there", pause=lambda _: None)


def shared(*members: Member, partitions: int = 2) -> Callable[[], bool]:
    """Whether these members have all partitions among them, and no two of them the same."""

    def condition() -> bool:
        held = [partition for member in members for partition in member.partitions()]
        assigned = all(member.events and member.events[-1][0] == "assigned" for member in members)
        return assigned and sorted(held) == list(range(partitions))

    return condition


def read(consumer: ConsumerClient, count: int, *, max_records: int | None = None) -> list[Record]:
    """This many records, or more; at most `max_records` at once."""
    records: list[Record] = []

    def enough() -> bool:
        records.extend(consumer.poll(0.1, max_records))
        return len(records) >= count

    wait_until(enough, timeout=TIMEOUT, what=f"{count} records were to come", pause=lambda _: None)
    return records
