"""The overview as it changes, for many streams at once."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from labkit.api import live_overview
from labkit.api.live_overview import LiveOverview
from labkit.api.models import OverviewOut
from labkit.api.problems import Problem
from labkit.errors import StoreFailed
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
    monkeypatch.setattr(live_overview, "TRY_AGAIN", 0.001)


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


@pytest.mark.parametrize(("error", "tracebacks"), [(StoreFailed("gone"), 0), (ValueError("gone"), 1)])
def test_what_is_away_is_said_once_and_nobody_hears_of_it(
    source: Source, caplog: pytest.LogCaptureFixture, error: Exception, tracebacks: int
) -> None:
    async def run() -> None:
        live = LiveOverview(source)
        with live.entered():
            first = await live.after(None, PATIENCE)
            for changes in (1, 2):
                source.error = error
                waiting = asyncio.create_task(live.after(first, FOR_EVER))
                asking = [asyncio.create_task(live.answer(source, FOR_EVER)) for _ in range(3)]
                looks = source.looks
                await eventually(lambda looks=looks: source.looks > looks + 20, "it was to be tried again")  # type: ignore[misc]
                assert not waiting.done()
                assert await live.answer(source, 0) is None
                source.error, source.changes = None, changes
                async with asyncio.timeout(PATIENCE):
                    assert {found.changes for found in await asyncio.gather(waiting, *asking)} == {changes}
                first = waiting.result()

    asyncio.run(run())
    said = [record.getMessage() for record in caplog.records if "live stream could not" not in record.getMessage()]
    assert said == 2 * [
        "The live view waits for the jobs' store or the topic, and its streams show what was known last: gone",
        "The live view goes on: the jobs' store or the topic answers again",
    ]
    assert sum(record.exc_info is not None for record in caplog.records) == 2 * tracebacks


def test_the_end_ends_a_question_that_hangs(source: Source) -> None:
    async def hang() -> int:
        source.looks += 1
        await asyncio.Event().wait()
        return 1

    async def run() -> None:
        live = LiveOverview(source)
        waiting = asyncio.create_task(live.answer(hang, FOR_EVER))
        await eventually(lambda: source.looks > 0, "it was to ask")
        live.end()
        async with asyncio.timeout(PATIENCE):
            assert await waiting is None
        assert await live.answer(hang, FOR_EVER) is None

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
