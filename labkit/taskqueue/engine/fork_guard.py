"""What becomes of a copy of this process that a handler has forked: it ends when it comes back from the handler.

It would be a second worker otherwise, with the connections of the first one, and its task would have two outcomes. It
ends as a program would: with status 0 when it has returned, with that of a `SystemExit`, else with 1, and says why.

What the streams hold is written out before each fork, so that it is not there twice, as in `multiprocessing`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ClassVar, NoReturn, TypeVar

from labkit.process.parent_channel import log_line
from labkit.taskqueue.engine.failure import describe_with_place

T = TypeVar("T")

#: How long a copy tries to write out what its streams hold, in seconds: another thread may have held the lock of one at
#: the fork, and is not there in the copy to give it back.
WRITE_TIMEOUT = 5.0

#: past the error's own class, which may have its own idea of it
_code_of: Callable[[BaseException], object] = SystemExit.__dict__["code"].__get__


class _Process:
    #: this one, which would have to be asked for with a system call each time
    current: ClassVar[int] = os.getpid()


def guarded(call: Callable[..., T], /, *args: Any, **options: Any) -> T:
    """What this call returns or raises; a copy of this process that comes back from it ends."""
    process = _Process.current
    try:
        result = call(*args, **options)
    except BaseException as error:
        if _Process.current != process:
            _end_copy(error)
        raise
    if _Process.current != process:
        _end_copy(None)
    return result


async def guarded_wait(awaited: Awaitable[T]) -> T:
    """The same of what is waited for, on a guarded loop."""
    process = _Process.current
    try:
        result = await awaited
    except BaseException as error:
        if _Process.current != process:
            _end_copy(error)
        raise
    if _Process.current != process:
        _end_copy(None)
    return result


class _GuardedCoroutine(Coroutine[Any, Any, Any]):
    """A coroutine that comes back with each `await`: a copy of its loop would go on with the others."""

    __slots__ = ("_coroutine", "_process")

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._process = _Process.current

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coroutine, name)  # others look how far it is

    def __await__(self) -> Any:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        """The next step."""
        try:
            return self._coroutine.send(value)
        finally:
            if _Process.current != self._process:
                _end_copy_at_step(sys.exception())

    def throw(self, *error: Any) -> Any:
        """The next step, which begins with this error."""
        try:
            return self._coroutine.throw(*error)
        finally:
            if _Process.current != self._process:
                _end_copy_at_step(sys.exception())

    def close(self) -> None:
        """The last step."""
        guarded(self._coroutine.close)


class _GuardedPool(ThreadPoolExecutor):
    """The threads of a loop, as for `asyncio.to_thread`; a copy of one would wait for work without end."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Call it in a thread."""
        return super().submit(guarded, call, *args, **options)


def guard_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Guard the tasks of this loop and its threads from now on; not its callbacks, nor threads of a handler's own."""

    def make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(_GuardedCoroutine(coroutine), loop=loop, **options)

    loop.set_task_factory(make_task)
    loop.set_default_executor(_GuardedPool(thread_name_prefix="asyncio"))


def _end_copy_at_step(error: BaseException | None) -> NoReturn:
    """After a step of a coroutine, which raises `StopIteration` when it returns."""
    if error is None:
        error = RuntimeError("It came to an `await`, and the copy of a loop does not go on.")
    _end_copy(None if type(error) is StopIteration else error)


def _end_copy(error: BaseException | None) -> NoReturn:
    status, why = 1, ""
    try:
        if error is None:
            status = 0
        elif issubclass(type(error), SystemExit) and isinstance(code := _code_of(error) or 0, int):
            status = int(code) & 0xFF
        else:
            why = f"A copy of a process, which a handler has forked, has failed: {describe_with_place(error)}"
        writer = threading.Thread(target=_write_out, args=(why,), daemon=True)
        writer.start()
        writer.join(WRITE_TIMEOUT)
    finally:  # whatever the error's own code does
        os._exit(status)


def _write_out(why: str) -> None:
    if why:
        log_line(why)
    _flush_streams()


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # whatever stands there
            stream.flush()


def _note_copy() -> None:
    _Process.current = os.getpid()


os.register_at_fork(before=_flush_streams, after_in_child=_note_copy)
