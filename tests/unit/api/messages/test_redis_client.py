"""The client of Redis for asyncio."""

from __future__ import annotations

import pytest

from labkit.api.messages.redis_client import ask, asynchronous, close
from tests.unit.failover import ANSWERS, failover_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_who_has_an_old_connection_finds_the_new_master_behind_the_same_address(answer: str) -> None:
    with failover_server(answer) as server:
        client = asynchronous(server.url)
        assert await ask(client.echo("a")) == b"OK"
        server.fail_over()
        assert await ask(client.echo("a")) == b"OK"
        async with client.pipeline(transaction=False) as pipe:
            server.fail_over()
            assert await pipe.echo("a").echo("b").execute() == [b"OK"] * 2
        await close(client)
