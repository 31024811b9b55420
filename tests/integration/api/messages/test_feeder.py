"""A feeder that does not end keeps nobody waiting for it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from labkit.api.messages import MessageQueues, feeder, message_queues
from tests.conditions import PATIENCE, eventually

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
