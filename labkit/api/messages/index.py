"""Looking on the topic for what Redis does not know: which messages are there, and where.

The topic is the log of all messages; what Redis knows of it is an index. Should Redis lose its data, the index is
built again from the log, so that no message is queued twice for that.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from labkit.api.messages.reservation import Reservations
from labkit.api.messages.topic_log import RecordPosition, TopicLog
from labkit.taskqueue.record_format import TASK_ID
from labkit.taskqueue.topics import read_topic
from labkit.taskqueue.transport.contract import Record

log = logging.getLogger("labkit.api")

#: How many places are written down at once.
BATCH = 500


class Index:
    """What is on the topics."""

    def __init__(self, reservations: Reservations) -> None:
        self._reservations = reservations
        self._building: dict[str, asyncio.Task[None]] = {}

    async def find(
        self, topic: TopicLog, wanted: Iterable[str], *, floor: Mapping[int, int]
    ) -> dict[str, RecordPosition]:
        """Where those of the wanted ids are that stand on the topic at or beyond the floor."""
        return await asyncio.to_thread(_find, topic, frozenset(wanted), floor)

    async def ensure(self, topic: TopicLog) -> None:
        """Build what is missing."""
        if await self._reservations.reserve(topic, [], owner="") is None:
            await self.build(topic)

    async def build(self, topic: TopicLog) -> None:
        """Tell Redis of every message on the topic; whoever asks meanwhile waits for the same."""
        task = self._building.get(topic.id)
        if task is None or task.done():
            task = self._building[topic.id] = asyncio.create_task(self._build(topic), name=f"index {topic.name}")
        await asyncio.shield(task)

    async def aclose(self) -> None:
        """Stop what is being built."""
        tasks = list(self._building.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _build(self, topic: TopicLog) -> None:
        began = time.monotonic()
        starts = await asyncio.to_thread(_starts, topic)
        places = _places(read_topic(topic.topic.transport, topic.full_name))
        count = 0
        while batch := await asyncio.to_thread(lambda: list(islice(places, BATCH))):
            await self._reservations.mark(topic, dict(reversed(batch)))
            count += len(batch)
        await self._reservations.indexed(topic, starts)
        if count:
            log.info("%s: found %d messages on the topic in %.1f s", topic.name, count, time.monotonic() - began)


def _places(records: Iterable[Record]) -> Iterator[tuple[str, RecordPosition]]:
    for record in records:
        message_id = _id_of(record)
        if message_id is not None:
            yield message_id, RecordPosition(record.partition, record.offset)


def _find(topic: TopicLog, wanted: frozenset[str], floor: Mapping[int, int]) -> dict[str, RecordPosition]:
    found: dict[str, RecordPosition] = {}
    for message_id, place in _places(read_topic(topic.topic.transport, topic.full_name, floor=floor)):
        if message_id in wanted:
            found.setdefault(message_id, place)
    return found


def _starts(topic: TopicLog) -> dict[int, int]:
    admin = topic.topic.transport.admin()
    try:
        return admin.start_offsets(topic.full_name)
    finally:
        admin.close()


def _id_of(record: Record) -> str | None:
    found = dict(record.headers).get(TASK_ID)
    return None if found is None else found.decode(errors="replace")
