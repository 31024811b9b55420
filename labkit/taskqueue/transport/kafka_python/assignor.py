"""How the partitions are shared out in a group over kafka-python."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

from kafka.coordinator.assignors.abstract import (
    AbstractPartitionAssignor,
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
)


class RoundRobin(AbstractPartitionAssignor):  # type: ignore[misc]  # kafka-python has no types
    """Deals the partitions of all topics out one by one, each to the next member that subscribes to its topic.

    As Java's `RoundRobinAssignor`, whose name it bears, so that members over any client share a group. kafka-python's
    own fails when the members subscribe to different topics.
    """

    name = "roundrobin"
    version = 0

    @classmethod
    def assign(cls, cluster: Any, members: Sequence[Any]) -> dict[str, ConsumerProtocolAssignment]:
        """The partitions of each member, by its id, as far as the cluster knows the topics."""
        # those that keep their name over restarts (KIP-345) come first
        ordered = sorted(members, key=lambda m: (m.group_instance_id is None, m.group_instance_id or "", m.member_id))
        topics = {topic for member in members for topic in member.metadata.topics}
        places = sorted((topic, number) for topic in topics for number in cluster.partitions_for_topic(topic) or ())
        shares: dict[str, dict[str, list[int]]] = {member.member_id: {} for member in members}
        turns = cycle(ordered)
        for topic, number in places:
            owner = next(member for member in turns if topic in member.metadata.topics)
            shares[owner.member_id].setdefault(topic, []).append(number)
        return {
            member: ConsumerProtocolAssignment(cls.version, sorted(share.items()), b"")
            for member, share in shares.items()
        }

    @classmethod
    def metadata(cls, topics: Sequence[str]) -> ConsumerProtocolSubscription:
        """What a member tells of itself when it joins."""
        return ConsumerProtocolSubscription(cls.version, list(topics), b"")

    @classmethod
    def on_assignment(cls, assignment: ConsumerProtocolAssignment, generation: int) -> None:
        """Nothing is remembered from one generation to the next."""
