"""The threads on which the view of the jobs is asked: if its store hangs, nothing else of the server does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from labkit.errors import StoreFailed
from labkit.taskqueue.timeouts import on_a_thread

#: How many questions are under way at most.
MOST_ASKED = 16
#: How long an answer may take, in seconds: more than one writer may wait for another.
LONGEST = 35.0

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


class JobThreads:
    """Used by one event loop."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(MOST_ASKED)

    async def ask(self, question: Callable[Asked, Answer], *args: Asked.args, **more: Asked.kwargs) -> Answer:
        """What the call returns or raises; `StoreFailed` if that takes too long, and the thread is left behind."""
        try:
            async with asyncio.timeout(LONGEST):
                await self._free.acquire()
                try:
                    asked = asyncio.wrap_future(on_a_thread(partial(question, *args, **more)))
                except BaseException:  # no thread can be started
                    self._free.release()
                    raise
                asked.add_done_callback(lambda _: self._free.release())
                return await asyncio.shield(asked)  # whoever waits no more: its place is free when the thread is
        except TimeoutError as error:
            raise StoreFailed(
                f"The store of the jobs has not answered for {LONGEST:g} s. If it hangs, start it again; the jobs "
                "themselves are on the topic."
            ) from error
