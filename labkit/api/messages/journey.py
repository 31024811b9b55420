"""The journey of a message: what has become of it so far in each group, read from its hash in Redis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Station(StrEnum):
    """How far a message has come; in this order."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    DELIVERED = "delivered"
    ACKNOWLEDGED = "acknowledged"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupJourney:
    """The message in one group that has got it. Times are in seconds since the epoch, by the clock of Redis.

    `deliveries`: how often it was given to a poller; `delivered_at`: when last. At most one of the other times is set.
    """

    group: str
    deliveries: int
    delivered_at: float
    acknowledged_at: float | None = None
    dead_at: float | None = None

    @property
    def station(self) -> Station:
        """How far it has come in this group."""
        if self.dead_at is not None:
            return Station.DEAD
        return Station.DELIVERED if self.acknowledged_at is None else Station.ACKNOWLEDGED


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """Where a message is. Times are in seconds since the epoch, by the clock of Redis.

    `partition`, `offset` and `queued_at` are None until Kafka has acknowledged it. `accepted_at` is None where it is
    not known any more, because Redis has lost its data since. `groups` are sorted by name.
    """

    id: UUID
    topic: str
    accepted_at: float | None
    partition: int | None
    offset: int | None
    queued_at: float | None
    groups: tuple[GroupJourney, ...] = ()

    @property
    def station(self) -> Station:
        """How far it has come in the group where it has come farthest."""
        if self.groups:
            return max((group.station for group in self.groups), key=list(Station).index)
        return Station.ACCEPTED if self.offset is None else Station.QUEUED


def journey_of(message_id: UUID, topic: str, fields: Mapping[bytes, bytes]) -> Journey:
    """The journey that the fields of the hash tell.

    Per group they are n:<group>, how often it was delivered; d:, when last; a:, when it was acknowledged, and by which
    token; and x:, when it became a dead letter.
    """
    found = {name.decode(): value.decode() for name, value in fields.items()}
    groups = sorted(name.partition(":")[2] for name in found if name.startswith("n:"))
    return Journey(
        id=message_id,
        topic=topic,
        accepted_at=_moment(found.get("accepted")),
        partition=_number(found.get("partition")),
        offset=_number(found.get("offset")),
        queued_at=_moment(found.get("queued")),
        groups=tuple(_group_journey(group, found) for group in groups),
    )


def _group_journey(group: str, found: Mapping[str, str]) -> GroupJourney:
    acknowledged = found.get(f"a:{group}")
    return GroupJourney(
        group=group,
        deliveries=int(found[f"n:{group}"]),
        delivered_at=int(found[f"d:{group}"]) / 1000,
        acknowledged_at=None if acknowledged is None else _moment(acknowledged.partition(" ")[0]),
        dead_at=_moment(found.get(f"x:{group}")),
    )


def _moment(text: str | None) -> float | None:
    return None if text is None else int(text) / 1000


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
