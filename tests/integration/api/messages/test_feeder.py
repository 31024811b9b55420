"""A feeder that does not end keeps nobody waiting for it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing

import pytest

from labkit.api.messages import MessageQueues, dead_letter_sender, feeder, message_queues
from labkit.api.messages.redis_client import synchronous
from labkit.errors import BrokerUnreachable
from tests.conditions import FOR_EVER, PATIENCE, eventually

pytestmark = pytest.mark.anyio


async def test_one_that_does_not_end_is_left_behind_which_is_said(lab, make_settings, monkeypatch, caplog) -> None:
    hangs, may_end = threading.Event(), threading.Event()

    def hang(_turn: object) -> bool:
        hangs.set()
        return not may_end.wait(2 * PATIENCE)

    monkeypatch.setattr(feeder._Turn, "go_on", hang)
    monkeypatch.setattr(message_queues, "LEAVE_TIMEOUT", 0.1)
    queues = MessageQueues(lab, make_settings())
    await queues.start()
    assert await queues.poll("orders", "g", wait=0, explicit=False) is None
    await eventually(hangs.is_set, "its feeder was to hang")
    async with asyncio.timeout(PATIENCE):
        await queues.aclose()
    assert "The feeders for g did not end within 0.1 s; they are left behind." in caplog.text
    may_end.set()
    [left] = queues._feeders.values()
    await asyncio.to_thread(left.join, PATIENCE)
    assert not left.alive()


async def test_a_connection_that_does_not_close_keeps_no_claim(lab, make_settings, monkeypatch) -> None:
    def refuse(_sender: object) -> None:
        raise BrokerUnreachable("it hangs")

    monkeypatch.setattr(feeder, "CLAIM", FOR_EVER)
    monkeypatch.setattr(dead_letter_sender.DeadLetterSender, "close", refuse)
    queues = MessageQueues(lab, make_settings())
    await queues.start()
    assert await queues.poll("orders", "g", wait=0, explicit=False) is None
    [one] = queues._feeders.values()
    with closing(synchronous(lab.redis_url)) as client:
        await eventually(lambda: client.get(one._queue.feeder) == one._name.encode(), "it was to claim the queue")
        async with asyncio.timeout(PATIENCE):
            await queues.aclose()
        assert client.get(one._queue.feeder) is None
