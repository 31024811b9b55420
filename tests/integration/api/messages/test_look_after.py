"""What the message API does behind its requests: while Redis or Kafka is away, that is said once."""

from __future__ import annotations

import logging

import pytest

from labkit.api.messages import message_queues
from labkit.errors import RedisUnreachable
from tests.conditions import eventually

pytestmark = pytest.mark.anyio


async def test_an_outage_of_many_looks_at_two_queues_is_said_once(crew, monkeypatch, caplog) -> None:
    monkeypatch.setattr(message_queues, "LOOK_INTERVAL", 0.01)
    caplog.set_level(logging.INFO, "labkit.api")
    looks: list[str] = []
    async with crew:
        queues = await crew.queues()
        rest = queues.rest

        async def away(name: str) -> int:
            looks.append(name)
            if len(looks) < 20:
                raise RedisUnreachable
            return await rest(name)

        monkeypatch.setattr(queues, "rest", away)
        await eventually(lambda: "goes on" in caplog.text, "the look was to go on")
    said = [record.getMessage() for record in caplog.records if "look" in record.getMessage()]
    assert len(said) == 2, said
