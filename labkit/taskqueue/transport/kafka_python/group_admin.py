"""What the admin client over kafka-python knows of groups."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import kafka.errors as kafka_errors
from kafka.admin import KafkaAdminClient
from kafka.protocol.admin import DescribeGroupsRequest
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment
from kafka.structs import OffsetAndMetadata

from labkit.errors import MetadataTooLarge, TransportError
from labkit.lab.connection import Connection
from labkit.resource import LazyResource
from labkit.taskqueue.cluster_errors import GroupInUse
from labkit.taskqueue.transport.contract import Position, TopicPartition
from labkit.taskqueue.transport.group_contract import SHARE, GroupMember, ListedGroup, by_name
from labkit.taskqueue.transport.group_protocol import ConsumerGroupDescribeRequest
from labkit.taskqueue.transport.kafka_python.client import Answer, to_position, to_theirs
from labkit.taskqueue.transport.kafka_python.overrides import ask_broker
from labkit.taskqueue.transport.kafka_python.share_admin import ShareGroupAdmin, partitions_of
from labkit.taskqueue.transport.share_contract import ShareLag
from labkit.taskqueue.transport.values import Timeouts

#: The kinds of groups whose members the two requests tell.
_CLASSIC, _CONSUMER = "classic", "consumer"
#: What a broker says to who commits for a group and is no member of it, where it has some.
_HAS_MEMBERS = (
    kafka_errors.UnknownMemberIdError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.NonEmptyGroupError,
    kafka_errors.StaleMemberEpochError,
    kafka_errors.FencedMemberEpochError,
)


class KafkaPythonGroups:
    """See `labkit.taskqueue.transport.group_contract.GroupAdmin`: a part of the admin client, which asks the broker."""

    _client: KafkaAdminClient

    def __init__(self, connection: Connection, timeouts: Timeouts) -> None:
        self._share_groups = LazyResource(lambda: ShareGroupAdmin(connection, timeouts))

    def _ask(self, request: Callable[[], Answer]) -> Answer:
        """The answer to a request, made again while the cluster is not ready for it."""
        raise NotImplementedError

    def committed(self, group: str, topic: str) -> dict[int, Position]:
        """What the group has committed for the topic, per partition."""
        found = self.all_committed([group])[group]
        return {place.partition: position for place, position in sorted(found.items()) if place.topic == topic}

    def all_committed(self, groups: Iterable[str]) -> dict[str, dict[TopicPartition, Position]]:
        """What these groups have committed for any topic."""
        wanted = dict.fromkeys(groups)
        if not wanted:
            return {}
        found = self._ask(lambda: self._client.list_group_offsets(wanted))
        return {
            group: {
                TopicPartition(*place): to_position(position)
                for place, position in found[group].items()
                if position.offset >= 0
            }
            for group in wanted
        }

    def groups(self) -> dict[str, frozenset[str]]:
        """The groups that have committed something, each with the topics of which it has."""
        found = self.all_committed(group.name for group in self.list_groups() if group.kind != SHARE)
        return {group: frozenset(place.topic for place in places) for group, places in found.items() if places}

    def list_groups(self) -> list[ListedGroup]:
        """All groups, sorted by their names."""
        listed = self._ask(lambda: self._client.list_groups())  # noqa: PLW0108 - it may be another one by then
        return sorted(
            ListedGroup(
                group["group_id"], (group.get("group_type") or _CLASSIC).lower(), group.get("group_state") or "?"
            )
            for group in listed
        )

    def members(self, group: str) -> dict[str, frozenset[TopicPartition]]:
        """The members of the group by client id, with their partitions."""
        return by_name(self._members(group, DescribeGroupsRequest(groups=[group]), _classic_partitions))

    def members_of(self, group: ListedGroup) -> list[GroupMember]:
        """The members of a group of any kind."""
        if group.kind == SHARE:
            return self._share_groups.get().list_members(group.name)
        if group.kind == _CONSUMER:
            request = ConsumerGroupDescribeRequest(group_ids=[group.name], include_authorized_operations=False)
            return self._members(group.name, request, partitions_of)
        if group.kind == _CLASSIC:
            return self._members(group.name, DescribeGroupsRequest(groups=[group.name]), _classic_partitions)
        return []

    def share_lags(self, group: str) -> dict[TopicPartition, ShareLag]:
        """How far a share group is on the partitions that it has read."""
        return self._share_groups.get().lags(group)

    def set_committed(self, group: ListedGroup, positions: Mapping[TopicPartition, Position]) -> None:
        """Let the group go on from there."""
        if group.kind == SHARE:
            self._share_groups.get().set_starts(
                group.name, {place: position.offset for place, position in positions.items()}
            )
            return
        theirs = {
            place: OffsetAndMetadata(position.offset, position.metadata, -1)
            for place, position in zip(to_theirs(positions), positions.values(), strict=True)
        }

        def commit() -> set[type[kafka_errors.KafkaError]]:
            answers = set(self._client.alter_group_offsets(group.name, theirs).values()) - {kafka_errors.NoError}
            for error in answers:
                if issubclass(error, kafka_errors.RetriableError) and error not in _HAS_MEMBERS:
                    raise error(group.name)
            return answers

        errors = self._ask(commit)
        if errors & set(_HAS_MEMBERS):
            raise in_use(group.name)
        if kafka_errors.OffsetMetadataTooLargeError in errors:
            raise MetadataTooLarge
        for error in errors:
            raise TransportError(f"Kafka did not take the offsets of the group {group.name!r}: {error.__name__}")

    def delete_group(self, group: str) -> None:
        """Forget the group's offsets; no error if it does not exist."""

        def delete() -> str:
            result: str = self._client.delete_groups([group])[group]
            error = getattr(kafka_errors, result, None)
            if error is not None and issubclass(error, kafka_errors.RetriableError):
                raise error
            return result

        result = self._ask(delete)
        if result == kafka_errors.NonEmptyGroupError.__name__:
            raise in_use(group)
        if result not in ("OK", kafka_errors.GroupIdNotFoundError.__name__):
            raise TransportError(f"The group {group!r} could not be deleted: {result}")

    def _members(
        self, group: str, request: Any, partitions: Callable[[Any], frozenset[TopicPartition]]
    ) -> list[GroupMember]:
        def describe() -> Any:
            found = ask_broker(self._client, request, group=group).groups[0]
            error = kafka_errors.for_code(found.error_code)
            if found.error_code and error is not kafka_errors.GroupIdNotFoundError:
                raise error(group)
            return found

        return [GroupMember(member.client_id, partitions(member)) for member in self._ask(describe).members]


def in_use(group: str) -> GroupInUse:
    """The error for a group that has members."""
    return GroupInUse(f"The group {group!r} still has members. Stop them first.")


def _classic_partitions(member: Any) -> frozenset[TopicPartition]:
    """What a member has by the group's own protocol; nothing while it waits for the end of the rebalance.

    Nothing either if that protocol is none of consumers, as in a group of Kafka Connect.
    """
    if not member.member_assignment:
        return frozenset()
    try:
        assignment = ConsumerProtocolAssignment.decode(member.member_assignment)
    except (struct.error, ValueError, IndexError):
        return frozenset()
    return frozenset(
        TopicPartition(topic.topic, partition)
        for topic in assignment.assigned_partitions
        for partition in topic.partitions
    )
