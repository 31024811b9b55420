"""Reservations: of all that create the same message at once, one puts it on the topic.

    no hash  --reserve-->  reserved, for `RESERVATION` seconds  --mark-->  queued at a place, for `KEPT` seconds
       ^                        |  not held in time, given back: taken over by whoever comes next
       +----- never: a message that may stand on the topic already is looked for there first

The ids are those of `labkit.api.messages.message`. Every call may raise `RedisUnreachable`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from labkit.api.messages import placement_scripts
from labkit.api.messages.redis_client import AsyncScript, ask
from labkit.api.messages.topic_log import KEPT, RecordPosition, TopicLog

#: How long a reservation lasts without being held, in seconds: so long a crash keeps others from its messages.
RESERVATION = 3.0

_KEPT_MS = round(KEPT * 1000)


@dataclass(slots=True)
class Reserved:
    """What became of the ids: `queued` before, in `work` elsewhere, or now reserved for us.

    `new` were never reserved. `taken` were, by somebody who did not finish, and may stand on the topic, at or beyond
    `floor` (per partition; where it says nothing, from its start).
    """

    queued: list[str] = field(default_factory=list)
    work: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    floor: dict[int, int] = field(default_factory=dict)

    def note(self, message_id: str, answer: str) -> None:
        """Sort one in by what the script said of it."""
        if answer in ("q", "w", "n"):
            {"q": self.queued, "w": self.work, "n": self.new}[answer].append(message_id)
            return
        floor = {int(partition): int(offset) for partition, offset in json.loads(answer).items()}
        # one look for all that were taken over: from the lowest of their floors
        both = floor.keys() & self.floor.keys()
        self.floor = {place: min(floor[place], self.floor[place]) for place in both} if self.taken else floor
        self.taken.append(message_id)


class Reservations:
    """The reservations of one process."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._reserve = AsyncScript(client, placement_scripts.RESERVE)
        self._hold = AsyncScript(client, placement_scripts.HOLD)
        self._mark = AsyncScript(client, placement_scripts.MARK)

    async def reserve(self, topic: TopicLog, ids: Sequence[str], *, owner: str) -> Reserved | None:
        """Reserve those that nobody has; None if Redis does not know what is on the topic."""
        lease = round(RESERVATION * 1000)
        answers = await self._reserve([topic.names.log], topic.names.messages, owner, lease, _KEPT_MS, *ids)
        if answers is None:
            return None
        reserved = Reserved()
        for message_id, answer in zip(ids, answers, strict=True):
            reserved.note(message_id, answer.decode())
        return reserved

    async def hold(self, topic: TopicLog, ids: Iterable[str], *, owner: str) -> None:
        """Let the reservations begin anew: their owner lives."""
        await self._hold([], topic.names.messages, owner, round(RESERVATION * 1000), *ids)

    async def give_back(self, topic: TopicLog, ids: Iterable[str], *, owner: str) -> None:
        """Let others take over at once."""
        await self._hold([], topic.names.messages, owner, 0, *ids)

    async def mark(self, topic: TopicLog, places: Mapping[str, RecordPosition]) -> None:
        """These messages stand on the topic; of several places of one, the first that is told stays."""
        words = [word for message_id, place in places.items() for word in (message_id, *place)]
        await self._mark([topic.names.log], topic.names.messages, _KEPT_MS, *words)

    async def indexed(self, topic: TopicLog, starts: Mapping[int, int]) -> None:
        """All that is on the topic is marked, from these offsets on."""
        known: Any = {f"s{partition}": offset for partition, offset in starts.items()} | {"indexed": 1}
        await ask(self._client.hset(topic.names.log, mapping=known))
        await ask(self._client.pexpire(topic.names.log, _KEPT_MS))
