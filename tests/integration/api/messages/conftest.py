"""Queues of their own for each test: a prefix that no other test uses, on the lab of the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from benchmarks.message_child import MessageChild
from labkit.api.messages import Message, MessageQueues, message_queues
from labkit.api.messages.topic_log import api_prefix
from labkit.lab import Lab
from labkit.settings import Settings
from labkit.taskqueue import Topics, connect
from tests.conditions import PATIENCE

AUTHOR = UUID("12345678-1234-4234-8234-123456789abc")


def new_message(number: int = 0, topic: str = "orders", **changes: object) -> Message:
    fields = {
        "timestamp": datetime(2026, 1, 1, 12, 0, 0, number, tzinfo=UTC),
        "title": f"message {number}",
        "body": "a body",
        "author": AUTHOR,
        "topic": topic,
    }
    return Message(**fields | changes)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _a_poll_waits_for_a_slow_feeder(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was queued before is found on a busy machine too; where all has been fed, this waits for nothing."""
    monkeypatch.setattr(message_queues, "CATCH_UP", PATIENCE)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def prefix() -> str:
    return f"{uuid4().hex[:12]}."


@pytest.fixture
def make_settings(prefix: str) -> Callable[..., Settings]:
    def make(**more: object) -> Settings:
        values = {"topic_prefix": prefix, "api_topics": "orders,emails"} | more
        return Settings(_env_file=None, **values)  # type: ignore[arg-type, call-arg]

    return make


@pytest.fixture
def topics(lab: Lab, prefix: str) -> Iterator[Topics]:
    """The topics under the prefix."""
    found = connect(lab)
    found.prefix = prefix
    with found:
        yield found


async def empty_redis(queues: MessageQueues) -> None:
    """As if Redis had lost its file: all keys of these queues are gone. Others use the same Redis."""
    keys = [key async for key in queues._client.scan_iter(f"{api_prefix(queues._settings.topic_prefix)}*", count=1000)]
    await queues._client.delete(*keys)


class Crew:
    """Processes of API servers, without HTTP: `queues()` in this process, `child()` in others."""

    def __init__(self, lab: Lab, make_settings: Callable[..., Settings]) -> None:
        self._lab = lab
        self._make_settings = make_settings
        self._stack = AsyncExitStack()
        self._children: list[MessageChild] = []

    async def queues(self, **settings: object) -> MessageQueues:
        return await self._stack.enter_async_context(MessageQueues(self._lab, self._make_settings(**settings)))

    def child(self, **job: object) -> MessageChild:
        settings = self._make_settings()
        child = MessageChild(
            f"child {len(self._children)}",
            job,
            bootstrap_servers=self._lab.bootstrap_servers,
            redis_url=self._lab.redis_url,
            topic_prefix=settings.topic_prefix,
            api_topics=settings.api_topics,
        )
        self._children.append(child)
        child.start()
        return child

    async def __aenter__(self) -> Crew:
        return self

    async def __aexit__(self, *_: object) -> None:
        for child in self._children:
            child.kill()
        await self._stack.aclose()


@pytest.fixture
def crew(lab: Lab, make_settings: Callable[..., Settings]) -> Crew:
    return Crew(lab, make_settings)
