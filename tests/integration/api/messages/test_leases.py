"""In which order messages come again whose leases have ended, or which were given back."""

from __future__ import annotations

import asyncio

import pytest

from labkit.api.messages import MessageQueues
from labkit.api.messages.topic_log import QueueNames
from tests.conditions import PATIENCE, eventually
from tests.integration.api.messages.conftest import new_message

pytestmark = pytest.mark.anyio

#: So many leases are more than one look brings back; so many more end after it.
MANY, MORE = 105, 5
#: No lease ends by itself, in seconds.
LEASE = 600.0


async def lease_all(queues: MessageQueues, count: int) -> list[str]:
    """Poll so many; their ids in order."""
    found = [await queues.poll("orders", "g", wait=PATIENCE, explicit=True) for _ in range(count)]
    return [str(one.id) for one in found]


async def end(queues: MessageQueues, names: QueueNames, ids: list[str], *, first: int) -> None:
    """These leases are over, one after the other since long ago."""
    await queues._client.zadd(f"{names.base}leases", {one: first + number for number, one in enumerate(ids)})


async def test_leases_that_have_ended_come_again_in_order_however_many_looks_it_takes(crew) -> None:
    async with crew:
        queues = await crew.queues(api_lease=LEASE)
        topic = queues._topics.known("orders")
        names = topic.names.queue("g")
        await queues.create([new_message(number) for number in range(MANY + MORE + 1)])
        ids = await lease_all(queues, MANY + MORE)

        async def is_fed() -> bool:
            return await queues._client.llen(f"{names.base}ready") == 1

        await eventually(is_fed, "the message that nobody has was to be ready")
        for feeder in queues._feeders.values():  # it looks as well
            feeder.stop()
            await asyncio.to_thread(feeder.join, PATIENCE)
        await end(queues, names, ids[:MANY], first=1)
        assert await queues.rest("orders", after=0) == 0, "which has looked, and others are leased"
        await end(queues, names, ids[MANY:], first=MANY + 1)
        again = [(await queues._leases.take(topic, "g")).delivery for _ in range(MANY + MORE + 1)]
        assert [str(one.id) for one in again[:-1]] == ids
        assert again[-1].deliveries == 1, "what is new comes last"


async def test_what_was_given_back_comes_again_in_that_order_before_what_is_new(crew) -> None:
    async with crew:
        queues = await crew.queues(api_lease=LEASE)
        await queues.create([new_message(number) for number in range(4)])
        got = [await queues.poll("orders", "g", wait=PATIENCE, explicit=True) for _ in range(3)]
        back = [got[number] for number in (1, 2, 0)]
        for one in back:
            await queues.nack(one.id, one.token)
        assert await lease_all(queues, 3) == [str(one.id) for one in back]
