"""Creating messages: each is put on its topic once, however often and wherever it is asked for.

reserve → produce → mark. A crash after the first or the second step leaves a reservation that runs out; whoever sends
the message again takes it over, looks on the topic whether it is there, and finishes what is missing. Should a message
come to the topic twice nevertheless, because its first producer was only slow, the second record is passed over where
the queues are fed.

The topic may be made anew meanwhile. What Redis knows of the old one is not believed: before a message counts as queued
because it was before, it is looked whether the topic is still the same, and also when Kafka refuses a record or gives
it an offset that was given before. If it is another, everything is done again for that one.
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
from labkit.api.messages.queue_topics import QueueTopics
from labkit.api.messages.record_sender import Outcome, OutgoingRecord, RecordSender
from labkit.api.messages.reservation import RESERVATION, Reservations
from labkit.api.messages.topic_log import RecordPosition, TopicLog
from labkit.errors import (
    DeadlineExceeded,
    IndexLost,
    NotAcknowledged,
    RedisRefused,
    RedisUnreachable,
    UnknownTopic,
)
from labkit.taskqueue.pace import Pace
from labkit.taskqueue.partitioners import key_hash, round_robin
from labkit.taskqueue.transport.contract import Headers, RecordMetadata

log = logging.getLogger("labkit.api")

#: The key, the value and the headers of a message's record, …
Letter = tuple[bytes | None, bytes, Headers]
#: … by the message's id.
Letters = Mapping[str, Letter]

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
        topics: QueueTopics,
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
        works = [self._create_on(name, wanted, tell) for name, wanted in letters.items()]
        outcomes = await asyncio.gather(*works, return_exceptions=True)
        for outcome in outcomes:  # only now, when nothing is under way
            if outcome is not None:
                raise outcome
        return ids

    def _letters(self, messages: Sequence[Message], ids: Sequence[UUID]) -> Mapping[str, Letters]:
        """What is to be sent per queue, by id; so that one that does not fit is noticed before anything is done."""
        letters: dict[str, dict[str, Letter]] = {}
        now = self._clock()
        for message, message_id in zip(messages, ids, strict=True):
            self._topics.living(message.topic)
            letters.setdefault(message.topic, {})[str(message_id)] = encode_message(message, message_id, at=now)
        return letters

    async def _create_on(self, name: str, letters: Letters, tell: Queued) -> None:
        """Return when all are queued on the topic that bears the name then."""
        deadline = self._measure() + self._timeout
        while True:
            topic = self._topics.living(name)
            try:
                if await self._settle(topic, letters, tell, deadline) or await self._topics.is_same(topic):
                    return
            except NotAcknowledged:
                if self._measure() >= deadline or await self._topics.is_same(topic):
                    raise

    async def _settle(self, topic: TopicLog, letters: Letters, tell: Queued, deadline: float) -> bool:
        """Return when all are queued, by us or by whoever else has them; False if that may be of another topic."""
        owner, pace = uuid4().hex, Pace(0, self._measure)
        left, pause, sure = list(letters), FIRST_LOOK, True
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
            grows = await self._produce(topic, [*reserved.new, *missing], letters, owner, tell)
            sure = sure and grows and not reserved.queued
            left = reserved.work
            if not left:
                return sure
            if self._measure() >= deadline:
                done = pace.so_far(len(letters) - len(left), "messages were queued")
                raise DeadlineExceeded(
                    f"Waited {self._timeout:g} s in vain: {len(letters)} messages were to be queued. {done}, and "
                    f"{len(left)} are left, which are being created elsewhere. Send them again: none is queued twice."
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

    async def _produce(self, topic: TopicLog, ids: Sequence[str], letters: Letters, owner: str, tell: Queued) -> bool:
        """False if an offset was given before, so that the topic is another."""
        if not ids:
            return True
        before = topic.ends.copy()
        records = [self._record(topic, *letters[message_id]) for message_id in ids]
        sending = asyncio.ensure_future(self._sender.send(records))
        try:
            await self._hold_while(sending, topic, ids, owner)
        except UnknownTopic:
            self._sender.discard()
            raise
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
            with suppress(RedisUnreachable, RedisRefused):  # then they run out
                await self._reservations.give_back(topic, refused, owner=owner)
            first = next(iter(refused.values()))
            raise NotAcknowledged(
                f"Kafka did not acknowledge {len(refused)} of {len(ids)} messages: {first} Send them again: none is "
                "queued twice."
            ) from first
        for place in queued.values():
            topic.reach(*place)
        return all(place.offset >= before.get(place.partition, 0) for place in queued.values())

    def _record(self, topic: TopicLog, key: bytes | None, value: bytes, headers: Headers) -> OutgoingRecord:
        return OutgoingRecord(topic.full_name, self._partition_of(key, topic.partitions), key, value, headers)

    async def _hold_while(self, work: asyncio.Future[Any], topic: TopicLog, ids: Sequence[str], owner: str) -> None:
        """Keep the reservations until the work is done; raises `UnknownTopic` as soon as the topic is gone."""
        while not (await asyncio.wait([work], timeout=RESERVATION / 3))[0]:
            if self._topics.is_gone(topic.name):
                work.cancel()
                self._topics.living(topic.name)
            # if they run out meanwhile, the first place that is marked counts
            with suppress(RedisUnreachable, RedisRefused):
                await self._reservations.hold(topic, ids, owner=owner)

    async def _build_index(self, topic: TopicLog, deadline: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, deadline - self._measure())):
                await self._index.build(topic)
        except TimeoutError:
            raise IndexLost from None
