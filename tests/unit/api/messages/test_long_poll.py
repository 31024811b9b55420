"""The line of pollers that wait: who is woken, and that no ring is lost."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from labkit.api.messages.long_poll import Bell, LongPolls

pytestmark = pytest.mark.anyio
LONG = 30.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_ring_wakes_the_first_only() -> None:
    line = LongPolls()
    tasks = [asyncio.create_task(line.wait(LONG, heard=0)) for _ in range(3)]
    await settle()
    line.ring()
    await settle()
    assert [task.done() for task in tasks] == [True, False, False]
    line.ring()
    line.ring()
    await asyncio.gather(*tasks)


async def test_a_ring_between_the_look_and_the_wait_is_heard() -> None:
    line = LongPolls()
    heard = line.rings
    line.ring()
    async with asyncio.timeout(60):
        await line.wait(LONG, heard=heard)


async def test_who_is_cancelled_when_it_was_its_turn_passes_it_on() -> None:
    line = LongPolls()
    first, second = (asyncio.create_task(line.wait(LONG, heard=0)) for _ in range(2))
    await settle()
    line.ring()
    first.cancel()
    await settle()
    assert first.cancelled()
    assert second.done()
    await second


async def test_who_has_waited_long_enough_is_out_of_the_line() -> None:
    line = LongPolls()
    await line.wait(0.01, heard=0)
    other = asyncio.create_task(line.wait(LONG, heard=0))
    await settle()
    line.ring()
    await settle()
    assert other.done()
    await other


async def test_the_bell_keeps_no_line_at_which_nobody_is() -> None:
    bell = Bell(Redis(), "mine.")
    line = bell.line("orders:g")
    poller = asyncio.create_task(line.wait(LONG, heard=0))
    await settle()
    for number in range(1000):
        bell.line(f"orders:{number}")  # as a group does that is refused, or polls once
    assert list(bell._lines) == ["orders:g"]
    assert bell.line("orders:g") is line, "who comes later stands behind"
    line.ring()
    await poller
    del line, poller
    assert not bell._lines
