"""The next message of any queue."""

from __future__ import annotations

import asyncio

import pytest

from labkit.api.messages.queue_turns import QueueTurns
from tests.conditions import FOR_EVER, PATIENCE
from tests.integration.api.messages.conftest import new_message

pytestmark = pytest.mark.anyio


async def test_the_queues_have_turns_and_each_message_is_given_once(crew) -> None:
    async with crew:
        queues = await crew.queues()
        turns = QueueTurns(queues)
        sent = [new_message(number, topic) for number, topic in enumerate(["orders"] * 4 + ["emails"] * 2)]
        await queues.create(sent)
        got = [await turns.poll("g", wait=0, explicit=False) for _ in sent]
        assert [delivery.message.topic for delivery in got[:4]] in (["orders", "emails"] * 2, ["emails", "orders"] * 2)
        assert {delivery.id for delivery in got} == {message.id for message in sent}
        assert await turns.poll("g", wait=0, explicit=False) is None


async def test_a_long_poll_waits_at_all_of_them(crew) -> None:
    async with crew:
        queues = await crew.queues()
        waiting = asyncio.create_task(QueueTurns(queues).poll("g", wait=FOR_EVER, explicit=True))
        message = new_message(1, "emails")
        await queues.create([message])
        async with asyncio.timeout(PATIENCE):
            assert (await waiting).id == message.id
