"""The overview as it changes, for many streams at once."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from labkit.api import live_overview
from labkit.api.live_overview import LiveOverview
from labkit.api.models import OverviewOut
from labkit.api.problems import Problem
from tests.conditions import FOR_EVER, PATIENCE, eventually


class Source:
    """What is looked at; counts the looks."""

    def __init__(self) -> None:
        self.changes, self.looks, self.error = 0, 0, None

    async def __call__(self) -> OverviewOut:
        self.looks += 1
        if self.error is not None:
            raise self.error
        return OverviewOut(queues=[], jobs={}, changes=self.changes)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_overview, "LOOK_INTERVAL", 0.001)


def test_all_that_wait_hear_of_a_change(source: Source) -> None:
    async def run() -> None:
        live = LiveOverview(source)
        with live.entered(), live.entered():
            first = await live.after(None, PATIENCE)
            assert first is not None
            waiting = [asyncio.create_task(live.after(first, FOR_EVER)) for _ in range(3)]
            source.changes = 7
            async with asyncio.timeout(PATIENCE):
                assert {found.changes for found in await asyncio.gather(*waiting)} == {7}
            assert (await live.after(first, FOR_EVER)).changes == 7

    asyncio.run(run())


def test_nobody_looks_while_there_are_no_streams(source: Source) -> None:
    async def run() -> None:
        live = LiveOverview(source)
        with live.entered():
            await live.after(None, PATIENCE)
        assert live._looking is None
        with live.entered():
            source.changes = 3
            assert (await live.after(None, PATIENCE)).changes == 3

    asyncio.run(run())


def test_what_the_look_raises_is_raised_and_the_next_one_looks_anew(source: Source) -> None:
    async def run() -> None:
        live = LiveOverview(source)
        source.error = OSError("gone")
        with live.entered():
            with pytest.raises(OSError, match="gone"):
                await live.after(None, PATIENCE)
            source.error = None
            first = await live.after(None, PATIENCE)
            assert first is not None
            source.error = OSError("gone again")
            with pytest.raises(OSError, match="again"):
                await live.after(first, PATIENCE)
            source.error, source.changes = None, 1
            assert (await live.after(first, PATIENCE)).changes == 1, "who has seen one does not hear of the end"

    asyncio.run(run())


def test_the_end_wakes_all_and_nobody_waits_afterwards(source: Source) -> None:
    async def run() -> None:
        live = LiveOverview(source)
        with live.entered():
            first = await live.after(None, PATIENCE)
            waiting = asyncio.create_task(live.after(first, FOR_EVER))
            await eventually(lambda: source.looks > 1, "it was to wait")
            live.end()
            async with asyncio.timeout(PATIENCE):
                assert await waiting is None
            assert await live.after(None, FOR_EVER) is None

    asyncio.run(run())


def test_there_are_so_many_at_most(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_overview, "MOST_STREAMS", 2)
    live = LiveOverview(source)
    with ExitStack() as streams:
        streams.enter_context(live.entered())
        with live.entered(), pytest.raises(Problem, match="2 streams are open") as refused:
            streams.enter_context(live.entered())
        assert refused.value.status == 429
        streams.enter_context(live.entered())
