"""The next message of any queue: the queues of a group have turns, so that a busy one keeps no other waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from labkit.api.messages.message import Delivery
from labkit.api.messages.message_queues import MessageQueues
from labkit.api.messages.queue_names import MOST_QUEUES
from labkit.errors import UnknownTopic

#: How long all queues are waited at, one after the other, before the first is looked at again, in seconds.
PIECE = 0.25
#: How long one queue is waited at, however many there are: each look is a question to Redis.
SHORTEST = 0.05


class QueueTurns:
    """Polls all the queues, each in its turn. Used by one event loop."""

    def __init__(self, queues: MessageQueues) -> None:
        self._queues = queues
        #: by group, where the next poll begins
        self._next: dict[str, int] = {}

    async def poll(self, group: str, *, wait: float, explicit: bool) -> Delivery | None:
        """As `MessageQueues.poll`, of any queue. `UnknownTopic` if the topics of all of them are gone."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        found = await self._round(group, explicit=explicit)
        while found is None and loop.time() < deadline and not self._queues.are_polls_ended:
            found = await self._round(group, explicit=explicit, until=deadline)
        return found

    async def _round(self, group: str, *, explicit: bool, until: float = 0.0) -> Delivery | None:
        names, clock = self._in_turn(group), asyncio.get_running_loop().time
        gone: list[UnknownTopic] = []
        for name in names:
            wait = max(0.0, min(max(SHORTEST, PIECE / len(names)), until - clock()))
            try:
                found = await self._queues.poll(name, group, wait=wait, explicit=explicit)
            except UnknownTopic as error:
                gone.append(error)
                continue
            if found is not None:
                self._note(group, self._queues.names.index(name) + 1)
                return found
        if len(gone) == len(names):
            raise gone[0]
        return None

    def _in_turn(self, group: str) -> Sequence[str]:
        names = self._queues.names
        first = self._next.get(group, 0) % len(names)
        return (*names[first:], *names[:first])

    def _note(self, group: str, turn: int) -> None:
        if len(self._next) >= MOST_QUEUES:
            self._next.clear()  # anybody may poll with groups of new names
        self._next[group] = turn
