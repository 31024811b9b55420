"""Leases: a message that was given to a poller belongs to it until it acknowledges or the lease ends.

    ready --take--> leased --ack--> acknowledged
      ^                |  --nack, or not in time--> ready again, or a dead letter when it was delivered too often
      +----------------+

A lease is named by a token, so that a poller whose lease is over cannot acknowledge for the next one. The clock is that
of Redis. Every call may raise `RedisUnreachable`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID, uuid4

from msgspec import Struct, msgpack
from redis.asyncio import Redis

from labkit.api.messages import lease_scripts
from labkit.api.messages.message import Delivery, check_group, decode_message
from labkit.api.messages.redis_client import AsyncScript
from labkit.api.messages.topic_log import GROUP_KEPT_MS, QueueNames, TopicLog, bell_channel
from labkit.errors import BadGroupName, StaleLease, UnknownMessage
from labkit.settings import Settings
from labkit.taskqueue.transport.contract import Record
from labkit.typed_values import msgpack_decoder

#: What stands between the parts of a token: the queue, the group and what is random. No name holds it.
SEPARATOR = "~"


class Held(Struct, frozen=True, array_like=True):
    """A record as it is kept in Redis until it is acknowledged."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int

    def record(self, topic: str) -> Record:
        """The record as it was read."""
        return Record(topic, self.partition, self.offset, self.key, self.value, self.headers, self.timestamp_ms)


_pack = msgpack.Encoder().encode
_unpack = msgpack_decoder(Held).decode


def pack(record: Record) -> bytes:
    """The record for Redis."""
    return _pack(Held(record.partition, record.offset, record.key, record.value, record.headers, record.timestamp_ms))


def unpack(entry: bytes, topic: str) -> Record:
    """Read what the scripts keep: the partition in front, so that they need not read the rest."""
    return _unpack(entry.partition(b" ")[2]).record(topic)


class Taken(NamedTuple):
    """What a poll found: the delivery, or None; and whether it is worth while to look again at once.

    `more`: others are ready. `behind`: none is ready, but messages are queued that were not fed yet. `lost`: none is
    ready, and Redis does not know what is on the topic.
    """

    delivery: Delivery | None
    more: bool = False
    behind: bool = False
    lost: bool = False


class Leases:
    """The leases of all queues, for one process."""

    def __init__(self, client: Redis, topics: Mapping[str, TopicLog], settings: Settings) -> None:
        self._topics = topics
        self._lease_ms = round(settings.api_lease * 1000)
        self._most = settings.api_deliveries
        self._channel = bell_channel(settings.topic_prefix)
        self._take = AsyncScript(client, lease_scripts.TAKE)
        self._ack = AsyncScript(client, lease_scripts.ACK)
        self._nack = AsyncScript(client, lease_scripts.NACK)

    async def take(self, topic: TopicLog, group: str) -> Taken:
        """Lease the next message."""
        names = topic.names
        token = SEPARATOR.join((topic.name, group, uuid4().hex))
        found = await self._take(
            [names.log, names.groups],
            *(names.queue(group).base, names.messages, group, self._lease_ms, self._most, token, GROUP_KEPT_MS),
        )
        if isinstance(found, int):
            return Taken(None, behind=found == 1, lost=found == 2)
        _, entry, deliveries, until, more = found
        record = unpack(entry, topic.name)
        message_id, message = decode_message(record)
        delivery = Delivery(
            id=message_id,
            message=message,
            group=group,
            partition=record.partition,
            offset=record.offset,
            deliveries=deliveries,
            token=token,
            leased_until=until / 1000,
        )
        return Taken(delivery, more=more > 0)

    async def ack(self, message_id: UUID, token: str) -> None:
        """The message is done. Again with the same token is no error. Raises `StaleLease`, `UnknownMessage`."""
        topic, group, queue = self._place(message_id, token)
        found = await self._ack([], queue.base, topic.names.messages, group, str(message_id), token)
        _check(found, message_id)

    async def nack(self, message_id: UUID, token: str) -> None:
        """Give the message back to the pollers. Again with the same token is no error. Raises as `ack` does."""
        topic, group, queue = self._place(message_id, token)
        bell = f"{topic.name}{SEPARATOR}{group}"
        words = (topic.names.messages, group, str(message_id), token, self._most, self._channel, bell, GROUP_KEPT_MS)
        _check(await self._nack([], queue.base, *words), message_id)

    def _place(self, message_id: UUID, token: str) -> tuple[TopicLog, str, QueueNames]:
        """Where the token belongs."""
        name, group, rest = (*token.split(SEPARATOR, 2), "", "")[:3]
        topic = self._topics.get(name)
        try:
            check_group(group)
        except BadGroupName:
            topic = None
        if topic is None or not rest:
            raise StaleLease(f"{token[:200]!r} is no token of a lease on message {message_id}.")
        return topic, group, topic.names.queue(group)


def _check(found: int, message_id: UUID) -> None:
    if found == 0:
        raise StaleLease(
            f"This lease on message {message_id} is over: it was not acknowledged in time and goes to another poller, "
            "or it was settled by another delivery."
        )
    if found < 0:
        raise UnknownMessage(f"There is no message {message_id}, or it is older than ids are kept.")
