"""What an admin client knows of groups: a part of `labkit.taskqueue.transport.contract`, whose errors hold here too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from labkit.taskqueue.transport.share_contract import ShareLag
from labkit.taskqueue.transport.values import Position, TopicPartition

#: The kind of groups whose members all read all partitions (KIP-932).
SHARE = "share"


class ListedGroup(NamedTuple):
    """A group as the broker lists it. `kind` and `state` are Kafka's words.

    The kind is "classic" (its members share the partitions out), "consumer" (the broker does, KIP-848), "share"
    (KIP-932), or another one.
    """

    name: str
    kind: str
    state: str


class GroupMember(NamedTuple):
    """A member of a group, by its client id, which others may have too, and the partitions that it reads."""

    name: str
    partitions: frozenset[TopicPartition]


def by_name(members: Iterable[GroupMember]) -> dict[str, frozenset[TopicPartition]]:
    """The members by their names; what those of one name have is put together."""
    found: dict[str, frozenset[TopicPartition]] = {}
    for member in members:
        found[member.name] = found.get(member.name, frozenset()) | member.partitions
    return found


class GroupAdmin(Protocol):
    """Asks and changes what the broker knows of groups."""

    def committed(self, group: str, topic: str) -> dict[int, Position]:
        """What the group has committed for the topic, per partition; nothing for what was never committed."""
        ...

    def groups(self) -> dict[str, frozenset[str]]:
        """The groups that have committed something, each with the topics of which it has."""
        ...

    def members(self, group: str) -> dict[str, frozenset[TopicPartition]]:
        """The members of the group by client id, with their partitions; {} for a group that does not exist."""
        ...

    def delete_group(self, group: str) -> None:
        """Forget the group's offsets; no error if it does not exist. Raises `GroupInUse` if it has members."""
        ...

    def list_groups(self) -> list[ListedGroup]:
        """All groups, sorted by their names."""
        ...

    def members_of(self, group: ListedGroup) -> list[GroupMember]:
        """The members of a group of any kind; [] for kinds of which nothing is known here."""
        ...

    def all_committed(self, groups: Iterable[str]) -> dict[str, dict[TopicPartition, Position]]:
        """What these groups, none of which is a share group, have committed for any topic."""
        ...

    def share_lags(self, group: str) -> dict[TopicPartition, ShareLag]:
        """How far a share group is on the partitions that it has read."""
        ...

    def set_committed(self, group: ListedGroup, positions: Mapping[TopicPartition, Position]) -> None:
        """Let the group go on from there, or from these offsets alone if it is a share group.

        Raises `GroupInUse` if it has members.
        """
        ...
