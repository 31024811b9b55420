"""What the brokers hold: topics with their records, and consumer groups with Kafka's classic protocol.

A group has members, generations, eager rebalances and committed offsets. When something changes, a rebalance begins:
every member gives up its partitions and joins again with its next poll; when all have, a new generation begins and the
partitions are shared out round robin. Everything here is called with the cluster's lock held.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from uuid import UUID, uuid4

from labkit.errors import CommitRefused, UnknownTopic
from labkit.taskqueue.partitioners import key_hash
from labkit.taskqueue.transport.contract import ConsumerConfig, Headers, Position, Record, TopicPartition


@dataclass(slots=True, kw_only=True)
class MemoryMember:
    """One member. `silent_since` is when it crashed; None while it sends heartbeats."""

    id: str
    config: ConsumerConfig
    topics: frozenset[str]
    polled_at: float
    silent_since: float | None = None
    assignment: frozenset[TopicPartition] = frozenset()

    def is_gone(self, now: float) -> bool:
        """Whether the group gives it up: its session has timed out, or it did not poll in time."""
        if self.silent_since is not None:
            return now - self.silent_since >= self.config.session_timeout
        return now - self.polled_at > self.config.max_poll_interval


@dataclass(slots=True)
class MemoryGroup:
    """A group. `generation` counts the rebalances that ended; while one runs, `joined` have joined again."""

    name: str
    generation: int = 0
    members: dict[str, MemoryMember] = field(default_factory=dict)
    offsets: dict[TopicPartition, Position] = field(default_factory=dict)
    joined: set[str] | None = None
    _sizes: dict[str, int] = field(default_factory=dict)
    _joins: int = 0

    def topics(self) -> set[str]:
        """The topics that the members subscribe to."""
        return {topic for member in self.members.values() for topic in member.topics}

    def look_around(self, now: float, sizes: Mapping[str, int]) -> bool:
        """Give up members that are gone, and notice topics that came or grew. True if there was any of it.

        `sizes` are the numbers of partitions by topic.
        """
        gone = [member.id for member in self.members.values() if member.is_gone(now)]
        for member_id in gone:
            del self.members[member_id]
        grown = any(self._sizes.get(topic) != size for topic, size in sizes.items())
        self._sizes = dict(sizes)
        if gone or grown:
            self._rebalance()
        return bool(gone) or grown

    def join(self, config: ConsumerConfig, topics: frozenset[str], now: float, sizes: Mapping[str, int]) -> str:
        """A new member, which has joined; returns its id. `sizes`: partitions by topic."""
        self._joins += 1
        self._sizes |= sizes
        member_id = f"{config.client_id}-{self._joins:06d}"
        self.members[member_id] = MemoryMember(id=member_id, config=config, topics=topics, polled_at=now)
        self._rebalance()
        self.join_again(member_id)
        return member_id

    def join_again(self, member_id: str) -> None:
        """The member has given up its partitions and waits for the new generation."""
        if self.joined is not None and member_id in self.members:
            self.joined.add(member_id)
            self._end_rebalance()

    def leave(self, member_id: str) -> None:
        """The member leaves at once."""
        if self.members.pop(member_id, None) is not None:
            self._rebalance()

    def must_join_again(self, member_id: str) -> bool:
        """Whether a rebalance waits for this member."""
        return self.joined is not None and member_id not in self.joined

    def commit(self, member_id: str, generation: int, positions: Mapping[TopicPartition, Position]) -> None:
        """Commit for a member of this generation that has not given up its partitions; else `CommitRefused`."""
        waits = self.joined is not None and member_id in self.joined
        if member_id not in self.members or generation != self.generation or waits:
            raise CommitRefused
        self.offsets.update(positions)

    def commit_without_membership(self, positions: Mapping[TopicPartition, Position]) -> None:
        """Commit for a consumer that was assigned by hand; `CommitRefused` while the group has members."""
        if self.members:
            raise CommitRefused
        self.offsets.update(positions)

    def _rebalance(self) -> None:
        self.joined = set() if self.joined is None else self.joined & self.members.keys()
        self._end_rebalance()

    def _end_rebalance(self) -> None:
        if self.joined != self.members.keys():
            return
        self.joined = None
        self.generation += 1
        for member in self.members.values():
            member.assignment = frozenset()
        self._share_out()

    def _share_out(self) -> None:
        members = cycle(sorted(self.members))
        for topic in sorted(self._sizes.keys() & self.topics()):
            for partition in range(self._sizes[topic]):
                member = next(m for m in map(self.members.__getitem__, members) if topic in m.topics)
                member.assignment |= {TopicPartition(topic, partition)}


@dataclass(slots=True, kw_only=True)
class MemoryTopic:
    """A topic: per partition the list of its records, whose indices are the offsets.

    `begins`: where a partition begins whose first records are no longer kept.
    """

    config: Mapping[str, str]
    logs: list[list[Record]]
    begins: dict[int, int] = field(default_factory=dict)
    id: UUID = field(default_factory=uuid4)


class MemoryCluster:
    """Topics and groups by name. Everything in it is read and changed with `changed` held."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.changed = threading.Condition()
        self.topics: dict[str, MemoryTopic] = {}
        #: who writes in transactions now, by transactional id
        self.transaction_owners: dict[str, object] = {}
        #: how much text goes with a commit, as Kafka's `offset.metadata.max.bytes`
        self.max_metadata = 4096
        self._groups: dict[str, MemoryGroup] = {}
        self._partition_of = key_hash()

    def topic(self, name: str) -> MemoryTopic:
        """The topic; raises `UnknownTopic`."""
        try:
            return self.topics[name]
        except KeyError:
            raise UnknownTopic(f"There is no topic {name!r}.") from None

    def choose_partition(self, topic: str, partition: int | None, key: bytes | None) -> int:
        """Where a record goes: to the partition named, or by its key; raises `UnknownTopic`."""
        count = len(self.topic(topic).logs)
        chosen = self._partition_of(key, count) if partition is None else partition
        if not 0 <= chosen < count:
            raise UnknownTopic(f"The topic {topic!r} has no partition {chosen}.")
        return chosen

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        timestamp_ms: int | None = None,
    ) -> int:
        """Put a record at the end of the partition, with the time of the clock if none is given; its offset."""
        log = self.topic(topic).logs[partition]
        stamp = int(self.clock() * 1000) if timestamp_ms is None else timestamp_ms
        log.append(Record(topic, partition, len(log), key, value, headers, stamp))
        self.changed.notify_all()
        return len(log) - 1

    def group(self, name: str) -> MemoryGroup:
        """The group as it is now, without the members that have died or come too late; made if it is new."""
        group = self._groups.setdefault(name, MemoryGroup(name))
        if group.look_around(self.clock(), self.sizes(group.topics())):
            self.changed.notify_all()
        return group

    def sizes(self, topics: Iterable[str]) -> dict[str, int]:
        """How many partitions these topics have, as far as they exist."""
        return {topic: len(self.topics[topic].logs) for topic in topics if topic in self.topics}

    def groups(self) -> list[MemoryGroup]:
        """All groups."""
        return list(self._groups.values())

    def forget_group(self, name: str) -> None:
        """Drop the group, if there is one."""
        self._groups.pop(name, None)
