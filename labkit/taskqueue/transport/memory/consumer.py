"""The consumer in memory: a member of a group, or a reader of partitions assigned by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from labkit.errors import MetadataTooLarge
from labkit.taskqueue.transport.checks import (
    must_be_assigned,
    must_be_member,
    must_be_open,
    must_have_group,
    must_still_have,
)
from labkit.taskqueue.transport.contract import ConsumerConfig, OnAssignment, Position, Record, TopicPartition
from labkit.taskqueue.transport.memory.cluster import MemoryCluster, MemoryGroup

#: How often a `poll` that waits looks whether a member has died, in seconds.
LOOK_INTERVAL = 0.05


class MemoryConsumer:
    """See `labkit.taskqueue.transport.contract.ConsumerClient`. The callbacks run on the thread of `poll`."""

    def __init__(self, cluster: MemoryCluster, config: ConsumerConfig) -> None:
        self._cluster = cluster
        self._config = config
        self._topics: frozenset[str] | None = None
        self._on_assigned: OnAssignment = lambda _: None
        self._on_revoked: OnAssignment = lambda _: None
        self._member_id = ""
        self._generation = -1
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._woken = threading.Event()
        self._closed = False

    def subscribe(self, topics: Sequence[str], *, on_assigned: OnAssignment, on_revoked: OnAssignment) -> None:
        """Join the group for these topics, at the next `poll`."""
        must_have_group(self._config.group)
        self._topics = frozenset(topics)
        self._on_assigned, self._on_revoked = on_assigned, on_revoked

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read these partitions without joining a group."""
        with self._cluster.changed:
            self._read_from_committed(partitions)

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that this consumer reads now."""
        return frozenset(self._positions)

    def poll(self, timeout: float, max_records: int | None = None) -> list[Record]:
        """Records that came within `timeout`."""
        limit = self._config.max_poll_records if max_records is None else max_records
        deadline = time.monotonic() + timeout
        while True:
            self._take_part()
            with self._cluster.changed:
                records = self._fetch(limit)
                left = deadline - time.monotonic()
                if records or left <= 0 or self._woken.is_set():
                    break
                self._cluster.changed.wait(min(left, LOOK_INTERVAL))
        if not records:
            self._woken.clear()
        return records

    def renew(self) -> None:
        """Nothing is remembered that would not hold for another topic of that name."""

    def wake_up(self) -> None:
        """Make a `poll` that waits, or the next one, return early."""
        self._woken.set()
        with self._cluster.changed:
            self._cluster.changed.notify_all()

    def commit(self, positions: Mapping[TopicPartition, Position]) -> None:
        """Commit these offsets now; `CommitRefused` if the group has moved on."""
        with self._cluster.changed:
            group = self._group()
            if any(len(position.metadata) > self._cluster.max_metadata for position in positions.values()):
                raise MetadataTooLarge
            if self._topics is None:
                group.commit_without_membership(positions)
            else:
                must_still_have(positions, self._positions)
                group.commit(self._member_id, self._generation, positions)

    def commit_in_transaction(self, positions: Mapping[TopicPartition, Position]) -> None:
        """As `commit`, for members of a group only."""
        must_be_member(subscribed=self._topics is not None)
        self.commit(positions)

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position | None]:
        """What the group has committed per partition."""
        with self._cluster.changed:
            group = self._group()
            return {partition: group.offsets.get(partition) for partition in partitions}

    def position(self, partition: TopicPartition) -> int | None:
        """The offset from which `poll` goes on."""
        must_be_assigned([partition], self._positions)
        return self._positions[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from this offset."""
        must_be_assigned([partition], self._positions)
        self._positions[partition] = offset

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Return nothing from these partitions until `resume`."""
        must_be_assigned(partitions, self._positions)
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Return records of these partitions again."""
        must_be_assigned(partitions, self._positions)
        self._paused.difference_update(partitions)

    def close(self) -> None:
        """Leave the group at once, without committing."""
        if self._closed:
            return
        try:
            self._give_up_partitions()
        finally:
            with self._cluster.changed:
                if self._member_id:
                    self._group().leave(self._member_id)
                    self._cluster.changed.notify_all()
            self._closed = True

    def crash(self) -> None:
        """Be as if the process had been killed: no heartbeat any more, nothing committed, the group not left."""
        with self._cluster.changed:
            member = self._group().members.get(self._member_id)
            if member is not None:
                member.silent_since = self._cluster.clock()
        self._closed = True

    def _group(self) -> MemoryGroup:
        must_be_open("consumer", closed=self._closed)
        must_have_group(self._config.group)
        return self._cluster.group(self._config.group or "")

    def _take_part(self) -> None:
        """Do what the group wants from this member, until there is nothing more to do."""
        must_be_open("consumer", closed=self._closed)
        if self._topics is None:
            return
        while True:
            with self._cluster.changed:
                group = self._group()
                member = group.members.get(self._member_id)
                if member is not None:
                    member.polled_at = self._cluster.clock()
                    if group.must_join_again(self._member_id):
                        wanted = self._join_again
                    elif group.joined is None and self._generation != group.generation:
                        wanted = self._begin
                    else:
                        return
                else:
                    wanted = self._join
            wanted()

    def _join(self) -> None:
        """Join as a new member: for the first time, or after the group gave this one up."""
        self._member_id, self._generation = "", -1
        try:
            self._give_up_partitions()
        finally:
            with self._cluster.changed:
                topics, now = self._topics or frozenset(), self._cluster.clock()
                self._member_id = self._group().join(self._config, topics, now, self._cluster.sizes(topics))
                self._cluster.changed.notify_all()

    def _join_again(self) -> None:
        try:
            self._give_up_partitions()
        finally:
            with self._cluster.changed:
                self._group().join_again(self._member_id)
                self._cluster.changed.notify_all()

    def _begin(self) -> None:
        """Take what the new generation gives to this member."""
        with self._cluster.changed:
            group = self._group()
            member = group.members.get(self._member_id)
            if member is None or group.joined is not None:
                return
            self._generation = group.generation
            self._read_from_committed(sorted(member.assignment))
        self._on_assigned(sorted(self._positions))

    def _give_up_partitions(self) -> None:
        try:
            if self._topics is not None and self._positions:
                self._on_revoked(sorted(self._positions))
        finally:
            self._positions, self._paused = {}, set()

    def _read_from_committed(self, partitions: Sequence[TopicPartition]) -> None:
        offsets = {} if self._config.group is None else self._group().offsets
        self._positions = {tp: offsets.get(tp, Position(0)).offset for tp in partitions}
        self._paused = set()

    def _fetch(self, limit: int) -> list[Record]:
        records: list[Record] = []
        for partition in list(self._positions):
            topic = self._cluster.topics.get(partition.topic)
            if topic is None or partition.partition >= len(topic.logs):
                continue  # it was deleted
            if partition in self._paused or len(records) >= limit:
                continue
            log = topic.logs[partition.partition]
            # as with `auto.offset.reset=earliest`: an offset that the log does not have means its beginning
            begin = topic.begins.get(partition.partition, 0)
            start = self._positions[partition] if begin <= self._positions[partition] <= len(log) else begin
            found = log[start : start + limit - len(records)]
            if found:
                records += found
                # and to the end of the queue with it, so that no partition keeps the others waiting
                del self._positions[partition]
            self._positions[partition] = start + len(found)
        return records
