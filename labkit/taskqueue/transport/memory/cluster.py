"""What the brokers hold: topics with their records, and groups."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from labkit.errors import UnknownTopic
from labkit.taskqueue.transport.contract import Record
from labkit.taskqueue.transport.memory.group import MemoryGroup


@dataclass(slots=True, kw_only=True)
class MemoryTopic:
    """A topic: per partition the list of its records, whose indices are the offsets."""

    config: Mapping[str, str]
    logs: list[list[Record]]


class MemoryCluster:
    """Topics and groups by name. Everything in it is read and changed with `changed` held."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.changed = threading.Condition()
        self.topics: dict[str, MemoryTopic] = {}
        self._groups: dict[str, MemoryGroup] = {}

    def topic(self, name: str) -> MemoryTopic:
        """The topic; raises `UnknownTopic`."""
        try:
            return self.topics[name]
        except KeyError:
            raise UnknownTopic(f"There is no topic {name!r}.") from None

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
