"""Redis and Kafka are killed and started again while messages are created and polled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from labkit.api.messages import Message, MessageQueues
from labkit.errors import (
    BrokerUnreachable,
    DeadlineExceeded,
    LabkitError,
    NotAcknowledged,
    RedisUnreachable,
    StaleLease,
)
from labkit.lab import Lab
from labkit.settings import Settings
from labkit.taskqueue import connect
from labkit.taskqueue.topics import read_topic
from tests.conditions import eventually
from tests.integration.api.messages.conftest import new_message

pytestmark = pytest.mark.anyio

#: What a client takes as a reason to send again; the API answers 503 to each.
TROUBLE = (RedisUnreachable, NotAcknowledged, BrokerUnreachable, DeadlineExceeded)


class Clients:
    """Create and poll as clients do that send again after an error."""

    def __init__(self, queues: MessageQueues) -> None:
        self.queues = queues
        self.seen: list[str] = []
        self.trouble: list[LabkitError] = []

    async def create(self, messages: list[Message], batch: int = 5) -> None:
        for start in range(0, len(messages), batch):
            await self._until_it_works(messages[start : start + batch])

    async def _until_it_works(self, messages: list[Message]) -> None:
        while True:
            try:
                assert await self.queues.create(messages) == [message.id for message in messages]
            except TROUBLE as error:
                self.trouble.append(error)
                await asyncio.sleep(0.05)
            else:
                return

    async def poll(self, count: int) -> None:
        """Until so many different messages were acknowledged."""
        while len(set(self.seen)) < count:
            try:
                got = await self.queues.poll("orders", "g", wait=0.5, explicit=True)
                if got is not None:
                    await self.queues.ack(got.id, got.token)
                    self.seen.append(str(got.id))
            except StaleLease:  # this client was slower than its lease, and the message comes again
                continue
            except TROUBLE as error:
                self.trouble.append(error)
                await asyncio.sleep(0.05)


def ids(messages: list[Message]) -> list[str]:
    return sorted(str(message.id) for message in messages)


async def test_redis_dies_and_comes_back(own_lab: Lab, make_settings: Callable[..., Settings]) -> None:
    messages = [new_message(number) for number in range(400)]
    async with MessageQueues(own_lab, make_settings(api_lease=2)) as queues, asyncio.timeout(200):
        clients = Clients(queues)
        creating = asyncio.create_task(clients.create(messages))
        polling = [asyncio.create_task(clients.poll(len(messages))) for _ in range(5)]
        for _ in range(2):
            await eventually(lambda: len(clients.seen) >= 50, "messages were to be polled")
            await asyncio.to_thread(own_lab.kill_redis)
            await asyncio.to_thread(own_lab.restart_redis)
        await asyncio.gather(creating, *polling)
        assert sorted(set(clients.seen)) == ids(messages)
        assert (await queues.lags())["orders"] == 0
        # nothing was queued twice
        with connect(own_lab) as topics:
            records = list(read_topic(topics.transport, make_settings().topic_prefix + "orders"))
        assert len({record.key for record in records}) == len(messages)


async def test_a_redis_that_stays_away_is_said_so(own_lab: Lab, make_settings: Callable[..., Settings]) -> None:
    async with MessageQueues(own_lab, make_settings()) as queues, asyncio.timeout(200):
        await queues.create([new_message(1)])
        await asyncio.to_thread(own_lab.kill_redis)
        try:
            with pytest.raises(RedisUnreachable):
                await queues.create([new_message(2)])
            with pytest.raises(RedisUnreachable):
                await queues.poll("orders", "g", wait=30, explicit=True)
        finally:
            await asyncio.to_thread(own_lab.restart_redis)
        got = await queues.poll("orders", "g", wait=60, explicit=False)
        assert got is not None
        assert got.id == new_message(1).id


@pytest.mark.long
async def test_kafka_dies_and_comes_back(own_lab: Lab, make_settings: Callable[..., Settings]) -> None:
    messages = [new_message(number) for number in range(400)]
    settings = make_settings(api_lease=60, delivery_timeout=2)
    async with MessageQueues(own_lab, settings) as queues, asyncio.timeout(200):
        clients = Clients(queues)
        creating = [asyncio.create_task(clients.create(messages[:200]))]
        polling = [asyncio.create_task(clients.poll(len(messages))) for _ in range(5)]
        await eventually(lambda: len(clients.seen) >= 50, "messages were to be polled")
        await asyncio.to_thread(own_lab.kill_broker)
        creating.append(asyncio.create_task(clients.create(messages[200:])))  # so there is something to give up
        await eventually(lambda: bool(clients.trouble), "a create was to be given up")
        await asyncio.to_thread(own_lab.restart_broker)
        await asyncio.gather(*creating, *polling)
        assert sorted(clients.seen) == ids(messages)  # each of them once
        assert any(isinstance(error, NotAcknowledged) for error in clients.trouble)
        assert (await queues.lags())["orders"] == 0
