"""The journey of a message: what has become of it so far, in each group that reads its queue."""

from __future__ import annotations

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
