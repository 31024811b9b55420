"""Creating messages: each is put on its topic once, however often and wherever it is asked for.

reserve → produce → mark. A crash after the first or the second step leaves a reservation that runs out; whoever sends
the message again takes it over, looks on the topic whether it is there, and finishes what is missing. Should a message
come to the topic twice nevertheless, because its first producer was only slow, the second record is passed over where
the queues are fed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

from labkit.api.messages.index import Index
from labkit.api.messages.message import Message, encode_message
from labkit.api.messages.record_sender import Outcome, OutgoingRecord, RecordSender
from labkit.api.messages.reservation import RESERVATION, Reservations
from labkit.api.messages.topic_log import RecordPosition, TopicLog
from labkit.errors import DeadlineExceeded, IndexLost, NotAcknowledged, RedisUnreachable, UnknownQueue
from labkit.taskqueue.partitioners import key_hash, round_robin
from labkit.taskqueue.transport.contract import RecordMetadata

log = logging.getLogger("labkit.api")

#: How long to wait before looking again whether a message that is in work elsewhere is queued: the first and the
#: longest time, in seconds.
FIRST_LOOK, LONGEST_LOOK = 0.002, 0.1

#: Is told of a queue by its name and of the positions on its topic that were taken.
Queued = Callable[[str, Collection[RecordPosition]], object]


def _nobody(name: str, positions: Collection[RecordPosition]) -> None:
    """Nobody wants to know."""


class Creator:
    """Creates messages on the topics of one process; `timeout` in seconds."""

    def __init__(
        self,
        topics: Mapping[str, TopicLog],
        reservations: Reservations,
        sender: RecordSender,
        index: Index,
        *,
        timeout: float,
        clock: Callable[[], float] = time.time,
        measure: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topics = topics
        self._reservations = reservations
        self._sender = sender
        self._index = index
        self._timeout = timeout
        self._clock = clock
        self._measure = measure
        self._partition_of = key_hash(unkeyed=round_robin())

    async def create(self, messages: Sequence[Message], on_queued: Queued | None = None) -> list[UUID]:
        """Put these on their topics unless they are there; their ids, in order. See `MessageQueues.create`."""
        ids = [message.id for message in messages]
        letters = self._letters(messages, ids)
        tell = on_queued or _nobody
        works = [self._settle(self._topics[name], wanted, tell) for name, wanted in letters.items()]
        outcomes = await asyncio.gather(*works, return_exceptions=True)
        for outcome in outcomes:  # only now, when nothing is under way
            if outcome is not None:
                raise outcome
        return ids

    def _letters(self, messages: Sequence[Message], ids: Sequence[UUID]) -> dict[str, dict[str, OutgoingRecord]]:
        """The records per queue, by id; so that one that does not fit is noticed before anything is done."""
        letters: dict[str, dict[str, OutgoingRecord]] = {}
        now = self._clock()
        for message, message_id in zip(messages, ids, strict=True):
            topic = self._topics.get(message.topic)
            if topic is None:
                raise UnknownQueue(f"There is no queue {message.topic!r}; there are {', '.join(self._topics)}.")
            key, value, headers = encode_message(message, message_id, at=now)
            partition = self._partition_of(key, topic.partitions)
            letters.setdefault(message.topic, {})[str(message_id)] = OutgoingRecord(
                topic.full_name, partition, key, value, headers
            )
        return letters

    async def _settle(self, topic: TopicLog, letters: Mapping[str, OutgoingRecord], tell: Queued) -> None:
        """Return when all are queued, by us or by whoever else has them."""
        deadline = self._measure() + self._timeout
        owner = uuid4().hex
        left, pause = list(letters), FIRST_LOOK
        while True:
            reserved = await self._reservations.reserve(topic, left, owner=owner)
            if reserved is None:
                await self._build_index(topic, deadline)
                continue
            found = {}
            if reserved.taken:
                found = await self._look_for(topic, reserved.taken, reserved.floor, owner, reserved.new)
                tell(topic.name, found.values())
            missing = [message_id for message_id in reserved.taken if message_id not in found]
            await self._produce(topic, [*reserved.new, *missing], letters, owner, tell)
            left = reserved.work
            if not left:
                return
            if self._measure() >= deadline:
                raise DeadlineExceeded(
                    f"{len(left)} messages are being created elsewhere, which took longer than {self._timeout:g} s. "
                    "Send them again: none is queued twice."
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_LOOK)

    async def _look_for(
        self, topic: TopicLog, ids: Sequence[str], floor: Mapping[int, int], owner: str, new: Sequence[str]
    ) -> dict[str, RecordPosition]:
        looking = asyncio.ensure_future(self._index.find(topic, ids, floor=floor))
        await self._hold_while(looking, topic, [*ids, *new], owner)
        found = await looking
        if found:
            await self._reservations.mark(topic, found)
        log.info("%s: took over %d messages, of which %d were on the topic", topic.name, len(ids), len(found))
        return found

    async def _produce(
        self, topic: TopicLog, ids: Sequence[str], letters: Mapping[str, OutgoingRecord], owner: str, tell: Queued
    ) -> None:
        if not ids:
            return
        sending = asyncio.ensure_future(self._sender.send([letters[message_id] for message_id in ids]))
        await self._hold_while(sending, topic, ids, owner)
        outcomes: list[Outcome] = await sending
        queued: dict[str, RecordPosition] = {}
        refused: dict[str, Exception] = {}
        for message_id, outcome in zip(ids, outcomes, strict=True):
            if isinstance(outcome, RecordMetadata):
                queued[message_id] = RecordPosition(*outcome)
            else:
                refused[message_id] = outcome
        if queued:
            await self._reservations.mark(topic, queued)
            tell(topic.name, queued.values())
        if refused:
            with suppress(RedisUnreachable):  # then they run out
                await self._reservations.give_back(topic, refused, owner=owner)
            first = next(iter(refused.values()))
            raise NotAcknowledged(
                f"Kafka did not acknowledge {len(refused)} of {len(ids)} messages: {first} Send them again: none is "
                "queued twice."
            ) from first

    async def _hold_while(self, work: asyncio.Future[Any], topic: TopicLog, ids: Sequence[str], owner: str) -> None:
        """Keep the reservations until the work is done."""
        while not (await asyncio.wait([work], timeout=RESERVATION / 3))[0]:
            with suppress(RedisUnreachable):  # if they run out meanwhile, the first place that is marked counts
                await self._reservations.hold(topic, ids, owner=owner)

    async def _build_index(self, topic: TopicLog, deadline: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, deadline - self._measure())):
                await self._index.build(topic)
        except TimeoutError:
            raise IndexLost from None
