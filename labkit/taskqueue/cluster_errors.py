"""What a user may not do to the topics and groups of a cluster, or what is not there."""

from __future__ import annotations

from labkit.errors import LabkitError, TransportError


class InternalTopic(LabkitError):
    says = "The topic is Kafka's own, as are all whose names begin with two underscores, so labkit leaves it as it is."


class OtherTopicKind(LabkitError):
    says = "The topic holds records of another kind, so it stays as it is."


class UnknownGroup(TransportError):
    says = "There is no such group. `labkit groups list` shows those there are."


class OtherGroupKind(TransportError):
    says = "The group is a share group where a consumer group was meant, or the other way round: take another name."


class GroupInUse(TransportError):
    says = "The group still has members. Stop them first."


class UnreadTopic(TransportError):
    says = "The group has read nothing of this topic."


class UnknownPartition(TransportError):
    says = "The topic does not have this partition."
