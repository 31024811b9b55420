"""Redis has done what it was told and is gone before its answer: whatever is sent again happens once."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from labkit.api.messages.redis_client import AsyncScript, ThreadScript
from labkit.taskqueue import DeadLetters
from labkit.taskqueue.timeouts import wait_until
from tests.conditions import eventually
from tests.integration.api.messages.conftest import new_message

pytestmark = pytest.mark.anyio


@pytest.fixture
def every_answer_is_lost_once(monkeypatch) -> None:
    ask, ask_from_thread = AsyncScript.__call__, ThreadScript.__call__

    async def ask_twice(self, *words):
        await ask(self, *words)
        return await ask(self, *words)

    def ask_twice_from_thread(self, *words):
        ask_from_thread(self, *words)
        return ask_from_thread(self, *words)

    monkeypatch.setattr(AsyncScript, "__call__", ask_twice)
    monkeypatch.setattr(ThreadScript, "__call__", ask_twice_from_thread)


@pytest.mark.usefixtures("every_answer_is_lost_once")
async def test_what_is_sent_twice_happens_once(crew, topics) -> None:
    async with crew:
        queues = await crew.queues(api_deliveries=2)
        messages = [new_message(number) for number in range(20)]
        refused = messages[7].id
        await queues.create(messages)
        await queues.create(messages)
        seen: Counter[object] = Counter()
        while (got := await queues.poll("orders", "g", wait=0, explicit=True)) is not None:
            seen[got.id] += 1
            assert got.deliveries == seen[got.id]
            await (queues.nack if got.id == refused else queues.ack)(got.id, got.token)
        assert seen == Counter(message.id for message in messages) + Counter([refused])
        letters = DeadLetters(topics, "orders")
        await asyncio.to_thread(wait_until, letters.list, timeout=120, what="the letter", interval=0.1)
        assert [letter.attempts for letter in letters.list()] == [2]

        async def is_done() -> bool:
            return (await queues.lags())["orders"] == 0

        await eventually(is_done, "nothing was to be left")
