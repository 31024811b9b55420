"""What becomes of a copy of this process that a handler has forked: it ends when it comes back from the handler.

It would be a second worker otherwise, with the connections of the first one, and its task would have two outcomes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


def end_copy(original: int) -> None:
    """Where a handler comes back: end this process at once if it is not the one that called it, but a copy of that one.

    What the copy's streams hold is not written out: it is the original's, and would be there twice.
    """
    if os.getpid() != original:
        os._exit(0)


class _GuardedCoroutine(Coroutine[Any, Any, Any]):
    """A coroutine that comes back with each `await`: a copy of its loop would go on with the others."""

    __slots__ = ("_coroutine", "_process")

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._process = os.getpid()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coroutine, name)  # others look how far it is

    def __await__(self) -> Any:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        """The next step."""
        try:
            return self._coroutine.send(value)
        finally:
            end_copy(self._process)

    def throw(self, *error: Any) -> Any:
        """The next step, which begins with this error."""
        try:
            return self._coroutine.throw(*error)
        finally:
            end_copy(self._process)

    def close(self) -> None:
        """The last step."""
        try:
            self._coroutine.close()
        finally:
            end_copy(self._process)


class _GuardedPool(ThreadPoolExecutor):
    """The threads of a loop, as for `asyncio.to_thread`; a copy of one would wait for work without end."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Call it in a thread."""
        return super().submit(_guarded, call, *args, **options)


def _guarded(call: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
    process = os.getpid()
    try:
        return call(*args, **options)
    finally:
        end_copy(process)


def guard_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Guard whatever runs on this loop and in its threads from now on."""

    def make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(_GuardedCoroutine(coroutine), loop=loop, **options)

    loop.set_task_factory(make_task)
    loop.set_default_executor(_GuardedPool(thread_name_prefix="asyncio"))
