"""What the broker tells of share groups, asked over kafka-python.

confluent-kafka cannot ask for the members of a share group or how far it is. kafka-python can carry any request that
is described to it (see `labkit.taskqueue.transport.share_protocol`).
"""

from __future__ import annotations

from typing import Any

import kafka.errors as kafka_errors
from kafka.admin import KafkaAdminClient

from labkit.lab.connection import Connection
from labkit.resource import LazyResource
from labkit.taskqueue.transport.contract import TopicPartition
from labkit.taskqueue.transport.kafka_python.client import ask, connect
from labkit.taskqueue.transport.kafka_python.overrides import ask_broker
from labkit.taskqueue.transport.library_logs import route_logs
from labkit.taskqueue.transport.share_contract import ShareLag
from labkit.taskqueue.transport.share_protocol import DescribeShareGroupOffsetsRequest, ShareGroupDescribeRequest
from labkit.taskqueue.transport.values import Timeouts

#: The lag of a partition that the group has not read yet.
_UNREAD = -1


class ShareGroupAdmin:
    """See `labkit.taskqueue.transport.share_contract.ShareGroups`, of which it is the part that asks."""

    def __init__(self, connection: Connection, timeouts: Timeouts) -> None:
        self._connection = connection
        self._timeouts = timeouts
        self._admin = LazyResource(self._connect)

    def members(self, group: str) -> dict[str, frozenset[TopicPartition]]:
        """The members of the group by client id, with the partitions they read."""
        found = self._ask(group, ShareGroupDescribeRequest(group_ids=[group], include_authorized_operations=False))
        return {} if found is None else {member.client_id: _partitions(member) for member in found.members}

    def lag(self, group: str, topic: str) -> dict[int, ShareLag]:
        """How many offsets of each partition are neither accepted nor given up."""
        wanted = DescribeShareGroupOffsetsRequest.DescribeShareGroupOffsetsRequestGroup(group_id=group, topics=None)
        found = self._ask(group, DescribeShareGroupOffsetsRequest(groups=[wanted], min_version=1))
        partitions = [
            partition
            for entry in ([] if found is None else found.topics)
            if entry.topic_name == topic
            for partition in entry.partitions
        ]
        for partition in partitions:
            self._check(partition)
        return {p.partition_index: ShareLag(p.start_offset, p.lag) for p in partitions if p.lag != _UNREAD}

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


def _partitions(member: Any) -> frozenset[TopicPartition]:
    return frozenset(
        TopicPartition(topic.topic_name, partition)
        for topic in member.assignment.topic_partitions
        for partition in topic.partitions
    )
