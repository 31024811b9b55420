"""Handlers that another process can import."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.json import encode

from labkit.taskqueue.task import Task
from labkit.taskqueue.timeouts import wait_until


def count_up(task: Task) -> int:
    """Keep a CPU busy for `payload` rounds."""
    total = 0
    for number in range(task.payload or 0):
        total += number * number % 7
    return total


def fail(task: Task) -> None:
    """Raise, and print on the way."""
    print("on the way", task.id)
    raise ValueError(f"{task.id} cannot be done")


def die(task: Task) -> None:
    """End the process that works on the task, if the payload says so."""
    if task.payload == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)


def leave(task: Task) -> None:
    """Ask the interpreter to end."""
    sys.exit(3)


def hang(task: Task) -> None:
    """Never return, if the payload says so; nothing can interrupt it but a signal."""
    while task.payload == "forever":
        pass


class Unsayable(Exception):
    """An error that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no")


class Hostile(Exception):
    """An error that does not even tell its class."""

    @property
    def __class__(self):
        raise RuntimeError("no")


#: Everything that may come out of a handler instead of a result, by the payload of its task.
RAISES: dict[str, Callable[[], BaseException]] = {
    "error": lambda: ValueError("no"),
    "base": lambda: BaseException("no"),
    "exit": lambda: SystemExit(0),
    "interrupt": KeyboardInterrupt,
    "generator exit": GeneratorExit,
    "cancelled": asyncio.CancelledError,
    "stop": StopIteration,
    "group": lambda: BaseExceptionGroup("all", [KeyboardInterrupt(), ValueError("no")]),
    "unsayable": Unsayable,
    "hostile": Hostile,
    "half a character": lambda: ValueError("\ud800"),
    "large": lambda: ValueError("x" * 3_000_000),
}


async def _nothing() -> None: ...


def _yields() -> Any:
    yield


async def _yields_later() -> Any:
    yield


RETURNS: dict[str, Callable[[], object]] = {
    "coroutine": _nothing,
    "generator": _yields,
    "async generator": _yields_later,
    "lazy": lambda: map(print, ["never"]),
}


def misbehave(task: Task) -> object:
    """Raise or return what the payload says; do well if it says nothing of the kind."""
    if task.payload in RAISES:
        raise RAISES[task.payload]()
    return RETURNS[task.payload]() if task.payload in RETURNS else None


async def misbehave_later(task: Task) -> object:
    """As `misbehave`, after others had their turn."""
    await asyncio.sleep(0)
    return misbehave(task)


def _copy() -> int | None:
    """In a copy of this process None; else the id of that copy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which are not in the copy
        return os.fork() or None


#: With which status a copy ends that does what the payload says, if not with 0.
STATUSES = {"raises": 1, "exits": 3, "awaits": 1}


def _wait_for(copy: int, way: str) -> None:
    """Return when the copy has ended by itself, as it is to end."""
    ended: list[int] = []

    def has_ended() -> bool:
        ended[:] = os.waitpid(copy, os.WNOHANG)
        return ended[0] == copy

    try:
        wait_until(has_ended, timeout=60, what="the copy was to end")
    except BaseException:
        os.kill(copy, signal.SIGKILL)
        raise
    assert os.waitstatus_to_exitcode(ended[1]) == STATUSES.get(way, 0)


def _come_back(way: str) -> None:
    if way == "raises":
        raise ValueError("in the copy")
    if way == "exits":
        raise SystemExit(3)


def come_back_twice(task: Task) -> None:
    """Fork, and come back in the copy as well, as the payload says."""
    copy = _copy()
    if copy is not None:
        _wait_for(copy, task.payload)
    else:
        _come_back(task.payload)


async def come_back_twice_later(task: Task) -> None:
    """The same on a loop, to which the copy may also come back by an `await`."""
    if task.payload == "in a thread":
        await asyncio.to_thread(come_back_twice, task)
    elif task.payload == "in a task":
        await asyncio.create_task(come_back_twice_later(task.evolve(payload="awaits")))
    else:
        copy = _copy()
        if copy is not None:
            _wait_for(copy, task.payload)
        elif task.payload == "awaits":
            await asyncio.sleep(0)
            raise AssertionError("the copy goes on")
        else:
            _come_back(task.payload)


def run_python(task: Task) -> None:
    """Do what the payload says, which is Python."""
    exec(task.payload, {})


def note(task: Task) -> None:
    """Write the task behind those in the file that it names; the first who does so never returns."""
    with Path(task.payload["file"]).open("ab+") as file:
        file.write(encode(task) + b"\n")
        is_first = file.tell() == len(encode(task)) + 1
    if is_first:
        threading.Event().wait()
