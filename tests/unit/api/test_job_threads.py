"""A store of the jobs that hangs: who asks hears so in time, and others are asked all the same."""

from __future__ import annotations

import asyncio
import threading

import pytest

from labkit.api import job_threads
from labkit.api.job_threads import JobThreads
from labkit.errors import StoreFailed
from tests.conditions import PATIENCE, eventually
from tests.refused_threads import refuse_threads


def test_one_that_hangs_is_said_and_takes_no_thread_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    may_end, at_it = threading.Event(), []

    def hang() -> bool:
        at_it.append(1)
        return may_end.wait(PATIENCE)

    async def run() -> None:
        threads = JobThreads()
        monkeypatch.setattr(job_threads, "LONGEST", 0.2)
        asked = [asyncio.create_task(threads.ask(hang)) for _ in range(3 * job_threads.MOST_ASKED)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(answer) for answer in answers} == {StoreFailed}
        assert len(at_it) == job_threads.MOST_ASKED
        async with asyncio.timeout(PATIENCE):
            assert await asyncio.to_thread(lambda: 7) == 7
        may_end.set()
        await eventually(lambda: threads._free._value == job_threads.MOST_ASKED, "all were to be free again")
        monkeypatch.setattr(job_threads, "LONGEST", PATIENCE)
        assert await threads.ask(int, "7") == 7

    asyncio.run(run())


def test_a_thread_that_cannot_be_started_keeps_no_place() -> None:
    async def run() -> None:
        threads = JobThreads()
        with pytest.MonkeyPatch.context() as patched:
            refuse_threads(patched, "labkit-aside")
            for _ in range(2 * job_threads.MOST_ASKED):
                with pytest.raises(RuntimeError):
                    await threads.ask(int)
        assert await threads.ask(int) == 0

    asyncio.run(run())
