"""How far a message has come, from its hash in Redis."""

from __future__ import annotations

from uuid import UUID

from labkit.api.messages import GroupJourney, Station
from labkit.api.messages.journey import journey_of

ID = UUID(int=1)
PLACE = {b"accepted": b"1500", b"partition": b"1", b"offset": b"42", b"queued": b"2000"}


def test_a_reserved_one_is_accepted() -> None:
    journey = journey_of(ID, "orders", {b"accepted": b"1500", b"owner": b"x", b"until": b"4500", b"floor": b"{}"})
    assert journey.station is Station.ACCEPTED
    assert (journey.accepted_at, journey.partition, journey.offset, journey.queued_at) == (1.5, None, None, None)


def test_a_queued_one_has_its_place() -> None:
    journey = journey_of(ID, "orders", PLACE)
    assert journey.station is Station.QUEUED
    assert (journey.partition, journey.offset, journey.queued_at, journey.groups) == (1, 42, 2.0, ())


def test_each_group_has_a_journey_of_its_own() -> None:
    fields = {
        **PLACE,
        b"n:b": b"2", b"d:b": b"3000", b"k:b": b"token",
        b"n:a": b"1", b"d:a": b"2500", b"a:a": b"2600 orders~a~00",
        b"n:c": b"5", b"d:c": b"9000", b"x:c": b"9500",
    }  # fmt: skip
    journey = journey_of(ID, "orders", fields)
    assert journey.groups == (
        GroupJourney(group="a", deliveries=1, delivered_at=2.5, acknowledged_at=2.6),
        GroupJourney(group="b", deliveries=2, delivered_at=3.0),
        GroupJourney(group="c", deliveries=5, delivered_at=9.0, dead_at=9.5),
    )
    assert [group.station for group in journey.groups] == [Station.ACKNOWLEDGED, Station.DELIVERED, Station.DEAD]
    assert journey.station is Station.DEAD
