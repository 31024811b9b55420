"""A message as a poller gets it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from labkit.api.messages.message import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery of a message to one poller of `group`.

    `deliveries`: how often the group was given it, with this time. `token` names the lease, for `ack` and `nack`; None
    where the message counts as acknowledged already. `leased_until` is in seconds since the epoch, by the clock of
    Redis; None without a lease.
    """

    id: UUID
    message: Message
    group: str
    partition: int
    offset: int
    deliveries: int
    token: str | None = None
    leased_until: float | None = None
