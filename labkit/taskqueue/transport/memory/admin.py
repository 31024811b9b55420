"""The admin client in memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from labkit.errors import CommitRefused, TopicMismatch, TransportError
from labkit.taskqueue.cluster_errors import GroupInUse
from labkit.taskqueue.transport.contract import ListedGroup, Position, TopicDescription, TopicPartition
from labkit.taskqueue.transport.group_contract import GroupMember, by_name
from labkit.taskqueue.transport.memory.cluster import MemoryCluster, MemoryTopic
from labkit.taskqueue.transport.share_contract import ShareLag

_TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


class MemoryAdmin:
    """See `labkit.taskqueue.transport.contract.AdminClient`."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self._open: MemoryCluster | None = cluster

    def create_topic(
        self,
        name: str,
        *,
        partitions: int,
        replication_factor: int | None = None,
        config: Mapping[str, str] | None = None,
        validate_only: bool = False,
    ) -> bool:
        """Create a topic: True if made now, False if the name was taken."""
        replicas = replication_factor or 1
        if not _TOPIC_NAME.fullmatch(name) or name in (".", "..") or partitions < 1 or replicas != 1:
            raise TransportError(
                f"No topic {name!r} with {partitions} partitions and {replicas} replicas can be made here: "
                "a name has letters, digits, '.', '_' and '-', and there is one broker."
            )
        with self._cluster.changed:
            if name in self._cluster.topics:
                return False
            alike = [other for other in self._cluster.topics if other.replace(".", "_") == name.replace(".", "_")]
            if alike:
                raise TransportError(f"The topic {name!r} collides with existing topic: {', '.join(alike)}.")
            if validate_only:
                return True
            self._cluster.topics[name] = MemoryTopic(config=dict(config or {}), logs=[[] for _ in range(partitions)])
            self._cluster.changed.notify_all()
            return True

    def describe_topic(self, name: str) -> TopicDescription:
        """The topic's shape; raises `UnknownTopic`."""
        with self._cluster.changed:
            topic = self._cluster.topic(name)
            return TopicDescription(
                name=name,
                id=str(topic.id),
                partitions=len(topic.logs),
                replication_factor=1,
                config=dict(topic.config),
            )

    def topic_ids(self, names: Iterable[str]) -> dict[str, str]:
        """The ids of these topics, without those that do not exist."""
        with self._cluster.changed:
            return {name: str(self._cluster.topics[name].id) for name in names if name in self._cluster.topics}

    def list_topics(self) -> list[str]:
        """The names of all topics, sorted."""
        with self._cluster.changed:
            return sorted(self._cluster.topics)

    def grow_topic(self, name: str, *, partitions: int) -> None:
        """Raise the number of partitions; `UnknownTopic`, `TopicMismatch`."""
        with self._cluster.changed:
            logs = self._cluster.topic(name).logs
            if partitions <= len(logs):
                raise TopicMismatch(f"The topic {name!r} cannot get {partitions} partitions: it has {len(logs)}.")
            logs += [[] for _ in range(partitions - len(logs))]
            self._cluster.changed.notify_all()

    def delete_topic(self, name: str) -> None:
        """Delete a topic with what was committed for it; raises `UnknownTopic`."""
        with self._cluster.changed:
            self._cluster.topic(name)
            del self._cluster.topics[name]
            for group in self._cluster.groups():
                group.offsets = {tp: position for tp, position in group.offsets.items() if tp.topic != name}

    def end_offsets(self, topic: str, *, available_only: bool = False) -> dict[int, int]:
        """Per partition, the offset that the next record will get."""
        with self._cluster.changed:
            return {partition: len(log) for partition, log in enumerate(self._cluster.topic(topic).logs)}

    def start_offsets(self, topic: str) -> dict[int, int]:
        """Per partition, the offset of the first record kept."""
        with self._cluster.changed:
            found = self._cluster.topic(topic)
            return dict.fromkeys(range(len(found.logs)), 0) | found.begins

    def committed(self, group: str, topic: str) -> dict[int, Position]:
        """What the group has committed for the topic, per partition."""
        with self._cluster.changed:
            offsets = self._cluster.group(group).offsets
            return {tp.partition: offsets[tp] for tp in sorted(offsets) if tp.topic == topic}

    def groups(self) -> dict[str, frozenset[str]]:
        """The groups that have committed something, each with the topics of which it has."""
        with self._cluster.changed:
            groups = sorted(self._cluster.groups(), key=lambda group: group.name)
            return {group.name: frozenset(tp.topic for tp in group.offsets) for group in groups if group.offsets}

    def members(self, group: str) -> dict[str, frozenset[TopicPartition]]:
        """The members of the group by client id, with their partitions."""
        return by_name(self.members_of(ListedGroup(group, "classic", "")))

    def list_groups(self) -> list[ListedGroup]:
        """All groups that have members or have committed something, sorted by their names."""
        with self._cluster.changed:
            names = sorted(group.name for group in self._cluster.groups())
            found = [group for group in map(self._cluster.group, names) if group.members or group.offsets]
            return [ListedGroup(group.name, "classic", "Stable" if group.members else "Empty") for group in found]

    def members_of(self, group: ListedGroup) -> list[GroupMember]:
        """The members of the group: all groups are of one kind here."""
        with self._cluster.changed:
            members = self._cluster.group(group.name).members.values()
            return [GroupMember(member.config.client_id, member.assignment) for member in members]

    def all_committed(self, groups: Iterable[str]) -> dict[str, dict[TopicPartition, Position]]:
        """What these groups have committed for any topic."""
        with self._cluster.changed:
            return {name: dict(self._cluster.group(name).offsets) for name in groups}

    def share_lags(self, group: str) -> dict[TopicPartition, ShareLag]:
        """There are no share groups here: nothing."""
        return {}

    def set_committed(self, group: ListedGroup, positions: Mapping[TopicPartition, Position]) -> None:
        """Let the group go on from there."""
        with self._cluster.changed:
            try:
                self._cluster.group(group.name).commit_without_membership(positions)
            except CommitRefused:
                raise _in_use(group.name) from None

    def offsets_at(self, topic: str, timestamp_ms: int) -> dict[int, int]:
        """Per partition, the offset of the first record of that time or later; the end where there is none."""
        starts = self.start_offsets(topic)
        with self._cluster.changed:
            logs = self._cluster.topic(topic).logs
            kept = {partition: log[starts[partition] :] for partition, log in enumerate(logs)}
            return {
                partition: next((one.offset for one in log if one.timestamp_ms >= timestamp_ms), len(logs[partition]))
                for partition, log in kept.items()
            }

    def delete_group(self, group: str) -> None:
        """Forget the group's offsets; no error if it does not exist."""
        with self._cluster.changed:
            if self._cluster.group(group).members:
                raise _in_use(group)
            self._cluster.forget_group(group)

    def close(self) -> None:
        """Let go of the cluster."""
        self._open = None

    @property
    def _cluster(self) -> MemoryCluster:
        if self._open is None:
            raise TransportError("The admin client is closed.")
        return self._open


def _in_use(group: str) -> GroupInUse:
    return GroupInUse(f"The group {group!r} still has members. Stop them first.")
