"""What the brokers hold: topics with their records, and groups."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from labkit.errors import UnknownTopic
from labkit.taskqueue.partitioners import key_hash
from labkit.taskqueue.transport.contract import Headers, Record
from labkit.taskqueue.transport.memory.group import MemoryGroup


@dataclass(slots=True, kw_only=True)
class MemoryTopic:
    """A topic: per partition the list of its records, whose indices are the offsets."""

    config: Mapping[str, str]
    logs: list[list[Record]]
    id: UUID = field(default_factory=uuid4)


class MemoryCluster:
    """Topics and groups by name. Everything in it is read and changed with `changed` held."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.changed = threading.Condition()
        self.topics: dict[str, MemoryTopic] = {}
        #: who writes in transactions now, by transactional id
        self.transaction_owners: dict[str, object] = {}
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
