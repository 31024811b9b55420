"""The groups that read topics, as a user sees them: listed, described, set back or forward, and deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from labkit.errors import BrokerUnreachable, TransportError, UnknownTopic
from labkit.resource import LazyResource, Resource
from labkit.taskqueue.cluster_errors import GroupInUse, UnknownGroup, UnreadTopic
from labkit.taskqueue.engine.offset_metadata import OffsetMetadata, is_of
from labkit.taskqueue.groups.share_group_state import share_place
from labkit.taskqueue.namespace import is_in_namespace
from labkit.taskqueue.start_point import StartPoint
from labkit.taskqueue.topic import partition_lags
from labkit.taskqueue.topics import Topics
from labkit.taskqueue.transport.contract import AdminClient, ListedGroup, Position, TopicPartition
from labkit.taskqueue.transport.group_contract import SHARE
from labkit.taskqueue.transport.share_contract import ShareLag

#: The states of groups that have no members.
_MEMBERLESS = ("Empty", "Dead")
#: How many members are named where a group is in use.
_NAMED = 3


class GroupPartition(NamedTuple):
    """How far a group is on a partition, and who reads it.

    `committed` is where it goes on; None where it has committed nothing on this very topic. In a share group,
    everything before it is through.
    """

    topic: str
    partition: int
    committed: int | None
    end: int
    lag: int
    members: tuple[str, ...]


class GroupDescription(NamedTuple):
    """A group, with Kafka's words for its kind and its state.

    `members` are the names (client ids) of all, which some may share, `partitions` those of the topics that it reads or
    has read, in order. `gone` are topics of which something is committed, and which are not there any more.
    `unreadable` is why nothing more than its kind and state could be read, empty where it could.
    """

    name: str
    kind: str
    state: str
    members: tuple[str, ...]
    partitions: tuple[GroupPartition, ...]
    gone: tuple[str, ...]
    unreadable: str = ""

    @property
    def topics(self) -> list[str]:
        """The topics that it reads or has read."""
        return list(dict.fromkeys([partition.topic for partition in self.partitions] + list(self.gone)))

    @property
    def lag(self) -> int:
        """How many records are left to it altogether."""
        return sum(partition.lag for partition in self.partitions)


class OffsetChange(NamedTuple):
    """Where a group went on with a partition, as in `GroupPartition`, and where it goes on now."""

    topic: str
    partition: int
    before: int | None
    now: int


class _Extent(NamedTuple):
    """A topic with this id, and per partition where it begins and ends."""

    id: str
    starts: Mapping[int, int]
    ends: Mapping[int, int]


class Groups(Resource, checked=True):
    """The groups under the prefix of these topics. Names are without it. A context manager."""

    def __init__(self, topics: Topics) -> None:
        self._prefix = topics.prefix
        self._admin: LazyResource[AdminClient] = LazyResource(topics.transport.admin)
        #: the names on the broker of the topics that were seen, which need not have the prefix
        self._full_names: dict[str, str] = {}

    def all(self) -> list[GroupDescription]:
        """All of them, by their names; what other programs have for themselves is left out.

        One that cannot be read, as by a user who may not, is told with the reason, and keeps nobody from the others.
        """
        listed = [group for group in self._client.list_groups() if group.name.startswith(self._prefix)]
        found = [group for group in listed if not is_in_namespace(group.name.removeprefix(self._prefix))]
        try:
            return self._describe(found)
        except BrokerUnreachable:
            raise
        except TransportError:
            return [self._describe_if_readable(group) for group in found]

    def describe(self, name: str) -> GroupDescription:
        """The group of that name; raises `UnknownGroup`."""
        return self._describe([self._find(name)])[0]

    def reset(self, name: str, start: StartPoint, *, topic: str | None = None) -> list[OffsetChange]:
        """Let the group go on from there, on one topic or on all that it has read; what was changed.

        Raises `UnknownGroup`, `GroupInUse` if it has members, `UnreadTopic` if it has read nothing of that topic, or of
        any, and `UnknownTopic` if that is gone.
        """
        group = self._find(name)
        known = self._describe([group])[0]
        _must_have_no_members(known)
        if topic is not None and topic not in known.topics:
            read = f"only of {', '.join(known.topics)}" if known.topics else "nor of any other"
            raise UnreadTopic(f"The group {name!r} has read nothing of the topic {topic!r}, {read}.")
        chosen = [topic] if topic is not None else [one for one in known.topics if one not in known.gone]
        if not chosen:
            raise UnreadTopic(f"The group {name!r} has read nothing of any topic that is there, so it stays as it is.")
        # before the offsets: those of a topic that is made anew just now are not believed under the old one's id
        ids = self._client.topic_ids(self._full_names[one] for one in chosen)
        offsets = {one: start.offsets(self._client, self._full_names[one]) for one in chosen}
        positions = {}
        for one in chosen:
            full_name = self._full_names[one]
            metadata = OffsetMetadata(topic_id=ids.get(full_name, ""))
            for number, offset in offsets[one].items():
                positions[TopicPartition(full_name, number)] = Position(offset, metadata.encode(offset))
        self._client.set_committed(group, positions)
        before = {(one.topic, one.partition): one.committed for one in known.partitions}
        return [
            OffsetChange(one, number, before.get((one, number)), offset)
            for one in chosen
            for number, offset in offsets[one].items()
        ]

    def delete(self, name: str) -> None:
        """Forget the group with all that it has committed; raises `UnknownGroup`, and `GroupInUse` if it has members.

        Members that join later begin as those of a new group do.
        """
        _must_have_no_members(self.describe(name))
        self._client.delete_group(self._prefix + name)

    def close(self) -> None:
        """Let go of the connection; a new one is opened when it is used again."""
        self._admin.close()

    @property
    def _client(self) -> AdminClient:
        return self._admin.get()

    def _name(self, full_name: str) -> str:
        name = full_name.removeprefix(self._prefix)
        if full_name == self._prefix + name:
            self._full_names[name] = full_name
        else:  # somebody else's, and one's own of that name is meant first
            self._full_names.setdefault(name, full_name)
        return name

    def _find(self, name: str) -> ListedGroup:
        for group in self._client.list_groups():
            if group.name == self._prefix + name:
                return group
        raise UnknownGroup(f"There is no group {name!r}. `labkit groups list` shows those there are.")

    def _describe(self, groups: Sequence[ListedGroup]) -> list[GroupDescription]:
        committed = self._client.all_committed(group.name for group in groups if group.kind != SHARE)
        extents: dict[str, _Extent | None] = {}
        return [self._describe_one(group, committed.get(group.name, {}), extents) for group in groups]

    def _describe_if_readable(self, group: ListedGroup) -> GroupDescription:
        try:
            return self._describe([group])[0]
        except BrokerUnreachable:
            raise
        except TransportError as error:
            name = group.name.removeprefix(self._prefix)
            return GroupDescription(name, group.kind, group.state, (), (), (), unreadable=str(error))

    def _describe_one(
        self, group: ListedGroup, committed: Mapping[TopicPartition, Position], extents: dict[str, _Extent | None]
    ) -> GroupDescription:
        """`extents` holds what is known of topics already, and what is looked up here is put there."""
        members = [] if group.state in _MEMBERLESS else self._client.members_of(group)
        shares = self._client.share_lags(group.name) if group.kind == SHARE else {}
        held = frozenset().union(*(member.partitions for member in members))
        partitions, gone = [], []
        for topic in sorted({place.topic for place in (*committed, *shares, *held)}):
            if topic not in extents:
                extents[topic] = self._extent(topic)
            extent, name = extents[topic], self._name(topic)
            if extent is None:
                gone.append(name)
                continue
            places = _shared(topic, shares, extent) if group.kind == SHARE else _dealt_out(topic, committed, extent)
            for one in places:
                place = TopicPartition(topic, one.partition)
                readers = tuple(sorted(member.name for member in members if place in member.partitions))
                partitions.append(one._replace(topic=name, members=readers))
        name = group.name.removeprefix(self._prefix)
        return GroupDescription(
            name,
            group.kind,
            group.state,
            tuple(sorted(member.name for member in members)),
            tuple(partitions),
            tuple(gone),
        )

    def _extent(self, topic: str) -> _Extent | None:
        """What there is of a topic now; None if it is gone."""
        topic_id = self._client.topic_ids([topic]).get(topic)
        if topic_id is None:
            return None
        try:
            return _Extent(topic_id, self._client.start_offsets(topic), self._client.end_offsets(topic))
        except UnknownTopic:
            return None


def _dealt_out(topic: str, positions: Mapping[TopicPartition, Position], extent: _Extent) -> Iterator[GroupPartition]:
    """The partitions of a topic, by what a group has committed whose members share them out."""
    known = {place.partition: position for place, position in positions.items() if place.topic == topic}
    for lag in partition_lags(known, extent.id, extent.starts, extent.ends):
        position = known.get(lag.partition)
        committed = None if position is None or not is_of(position, extent.id, lag.end) else position.offset
        yield GroupPartition(topic, lag.partition, committed, lag.end, lag.lag, ())


def _shared(topic: str, shares: Mapping[TopicPartition, ShareLag], extent: _Extent) -> Iterator[GroupPartition]:
    """The partitions of a topic, by what the broker tells of a share group."""
    for number, end in sorted(extent.ends.items()):
        first, told = extent.starts.get(number, 0), shares.get(TopicPartition(topic, number))
        place = share_place(first, told, end)
        yield GroupPartition(topic, number, None if told is None else place.start, end, place.left, ())


def _must_have_no_members(group: GroupDescription) -> None:
    if not group.members:
        return
    named = ", ".join(map(repr, group.members[:_NAMED])) + (" and others" if len(group.members) > _NAMED else "")
    raise GroupInUse(
        f"The group {group.name!r} has members ({named}), and while it has any, nobody else may change it. Stop them "
        "first; one that was killed is out when its session is over, some seconds later."
    )
