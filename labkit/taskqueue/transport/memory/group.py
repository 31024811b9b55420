"""A consumer group with Kafka's classic protocol: members, generations, eager rebalances, committed offsets.

When something changes, a rebalance begins: every member gives up its partitions and joins again with its next
poll; when all have, a new generation begins and the partitions are shared out round robin. Everything here is
called with the cluster's lock held.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import cycle

from labkit.errors import CommitRefused
from labkit.taskqueue.transport.contract import ConsumerConfig, Position, TopicPartition


@dataclass(slots=True, kw_only=True)
class Member:
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
    members: dict[str, Member] = field(default_factory=dict)
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
        self.members[member_id] = Member(id=member_id, config=config, topics=topics, polled_at=now)
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
