"""A consumer group as its broker sees it: what is committed, who its members are, and members taken out of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kafka.errors as kafka_errors
from kafka import TopicPartition
from kafka.admin import MemberToRemove
from kafka.protocol.admin import DescribeGroupsRequest

from labkit.grading.behaviour.bounded_client import BoundedClient
from labkit.taskqueue.transport.group_protocol import ConsumerGroupDescribeRequest

#: So many groups are looked at, and in these states they have no members.
MOST_GROUPS, MEMBERLESS = 200, ("Empty", "Dead")

_NO_SUCH_GROUP = kafka_errors.GroupIdNotFoundError.errno


class GroupView:
    """The group of this name on the topic of this name, which has so many `partitions`.

    What its members bring with them is not looked at: their addresses and ids are the broker's word. Raises what the
    client raises.
    """

    def __init__(self, client: BoundedClient, group: str, topic: str, *, partitions: int) -> None:
        self.group, self.topic, self.partitions = group, topic, partitions
        self._client = client

    def committed(self) -> dict[int, int]:
        """By partition, the offset that is committed; nothing where none is."""
        places = [TopicPartition(self.topic, number) for number in range(self.partitions)]
        found = self._client.ask(lambda admin: admin.list_group_offsets({self.group: places}))[self.group]
        return {place.partition: position.offset for place, position in found.items() if position.offset >= 0}

    def has(self, address: str) -> bool:
        """Whether it has members that come from this address."""
        return address in self.members()

    def members(self) -> dict[str, list[str]]:
        """By the address that they come from, the ids of the members."""
        found: dict[str, list[str]] = {}
        for member in self._described():
            found.setdefault(str(member.client_host).lstrip("/"), []).append(str(member.member_id))
        return found

    def remove(self, address: str) -> None:
        """Take all members out that come from this address: what happens to dead ones when their session is over."""
        members = [MemberToRemove(member_id=name) for name in self.members().get(address, ())]
        if members:
            self._client.ask(lambda admin: admin.remove_group_members(self.group, members))

    def _described(self) -> Iterator[Any]:
        """Its members, of the one kind or, where there is no group of that kind, of the newer one (KIP-848)."""
        for request in (DescribeGroupsRequest(groups=[self.group]), ConsumerGroupDescribeRequest([self.group], False)):
            found = self._client.tell(
                request, lambda answer: answer.groups[0], group=self.group, allowed=[_NO_SUCH_GROUP]
            )
            yield from found.members


def groups_of(client: BoundedClient, address: str) -> set[str]:
    """The groups with members that come from this address, of the first `MOST_GROUPS` of the broker's.

    Raises what the client raises.
    """
    listed = client.ask(lambda admin: admin.list_groups())
    names = sorted(str(group["group_id"]) for group in listed if group["group_state"] not in MEMBERLESS)
    views = (GroupView(client, name, "", partitions=0) for name in names[:MOST_GROUPS])
    return {view.group for view in views if view.has(address)}
