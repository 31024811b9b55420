"""What the broker tells of share groups, asked over kafka-python.

confluent-kafka cannot ask for the members of a share group or how far it is. kafka-python can carry any request that
is described to it (see `labkit.taskqueue.transport.share_protocol`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import kafka.errors as kafka_errors
from kafka.admin import KafkaAdminClient

from labkit.lab.connection import Connection
from labkit.resource import LazyResource
from labkit.taskqueue.cluster_errors import GroupInUse
from labkit.taskqueue.transport.contract import TopicPartition
from labkit.taskqueue.transport.group_contract import GroupMember, by_name
from labkit.taskqueue.transport.kafka_python.client import ask, connect
from labkit.taskqueue.transport.kafka_python.overrides import ask_broker
from labkit.taskqueue.transport.library_logs import route_logs
from labkit.taskqueue.transport.share_contract import ShareLag
from labkit.taskqueue.transport.share_protocol import (
    AlterShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequest,
    ShareGroupDescribeRequest,
)
from labkit.taskqueue.transport.values import Timeouts

#: The lag of a partition that the group has not read yet.
_UNREAD = -1


class ShareGroupAdmin:
    """See `labkit.taskqueue.transport.share_contract.ShareGroups`, of which it is the part that asks and changes."""

    def __init__(self, connection: Connection, timeouts: Timeouts) -> None:
        self._connection = connection
        self._timeouts = timeouts
        self._admin = LazyResource(self._connect)

    def members(self, group: str) -> dict[str, frozenset[TopicPartition]]:
        """The members of the group by client id, with the partitions they read."""
        return by_name(self.list_members(group))

    def list_members(self, group: str) -> list[GroupMember]:
        """The members of the group; [] if there is no such group."""
        found = self._ask(group, ShareGroupDescribeRequest(group_ids=[group], include_authorized_operations=False))
        return [] if found is None else [GroupMember(one.client_id, partitions_of(one)) for one in found.members]

    def lag(self, group: str, topic: str) -> dict[int, ShareLag]:
        """How many offsets of each partition are neither accepted nor given up."""
        return {place.partition: lag for place, lag in self.lags(group).items() if place.topic == topic}

    def lags(self, group: str) -> dict[TopicPartition, ShareLag]:
        """The same for every topic that the group has read."""
        wanted = DescribeShareGroupOffsetsRequest.DescribeShareGroupOffsetsRequestGroup(group_id=group, topics=None)
        found = self._ask(group, DescribeShareGroupOffsetsRequest(groups=[wanted], min_version=1))
        lags = {}
        for topic in () if found is None else found.topics:
            for partition in topic.partitions:
                self._check(partition)
                if partition.lag != _UNREAD:
                    place = TopicPartition(topic.topic_name, partition.partition_index)
                    lags[place] = ShareLag(partition.start_offset, partition.lag)
        return lags

    def set_starts(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Let the group go on from these offsets; raises `GroupInUse` if it has members."""
        kind = AlterShareGroupOffsetsRequest.AlterShareGroupOffsetsRequestTopic
        partition_kind = kind.AlterShareGroupOffsetsRequestPartition
        by_topic: defaultdict[str, list[Any]] = defaultdict(list)
        for place, offset in offsets.items():
            by_topic[place.topic].append(partition_kind(partition_index=place.partition, start_offset=offset))
        topics = [kind(topic_name=name, partitions=partitions) for name, partitions in by_topic.items()]
        request = AlterShareGroupOffsetsRequest(group_id=group, topics=topics)

        def change() -> bool:
            try:
                answer = ask_broker(self._admin.get(), request, group=group)
                for part in (answer, *(partition for topic in answer.responses for partition in topic.partitions)):
                    self._check(part)
            except kafka_errors.NonEmptyGroupError:
                return False
            return True

        if not ask(self._admin.get(), change, self._connection, self._timeouts):
            raise GroupInUse(f"The group {group!r} still has members. Stop them first.")

    def close(self) -> None:
        """Let go of the sockets."""
        self._admin.close()

    def _ask(self, group: str, request: Any) -> Any:
        """The broker's answer on the group; None if there is no such group."""

        def answer() -> Any:
            try:
                found = self._send(group, request)
                self._check(found)
            except kafka_errors.GroupIdNotFoundError:
                return None
            return found

        return ask(self._admin.get(), answer, self._connection, self._timeouts)

    def _send(self, group: str, request: Any) -> Any:
        return ask_broker(self._admin.get(), request, group=group).groups[0]

    def _connect(self) -> KafkaAdminClient:
        route_logs("kafka")
        return connect(KafkaAdminClient, self._connection, self._timeouts, client_id="labkit-share-groups")

    def _check(self, answer: Any) -> None:
        if answer.error_code:
            raise kafka_errors.for_code(answer.error_code)(answer.error_message)


def partitions_of(member: Any) -> frozenset[TopicPartition]:
    """What the broker has given to a member of a group of its newer kinds."""
    return frozenset(
        TopicPartition(topic.topic_name, partition)
        for topic in member.assignment.topic_partitions
        for partition in topic.partitions
    )
