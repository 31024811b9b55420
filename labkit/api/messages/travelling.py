"""Reading the journey of a message from its hash in Redis."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from labkit.api.messages.journey import GroupJourney, Journey


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
