"""What Celery's workers do in these tests. A payload names a file; each line in it is one effect."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import celery.exceptions

from labkit.dispatch import handles
from labkit.taskqueue.task import Task
from tests.handlers import come_back_twice

#: As in LABKIT_CELERY_IMPORTS.
MODULE = "tests.integration.celery_app.handlers"

#: How long a handler waits at most to be let go, in seconds.
PATIENCE = 100.0


def effects(file: Path | str) -> list[str]:
    """The ids of the tasks that had an effect, in order."""
    return Path(file).read_text().split() if Path(file).exists() else []


def _write(file: str, task: Task) -> None:
    descriptor = os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    try:
        os.write(descriptor, f"{task.id}\n".encode())
    finally:
        os.close(descriptor)


@handles("test-write")
def write(task: Task) -> None:
    """One effect."""
    _write(task.payload, task)


@handles("test-write-always", once=False)
def write_always(task: Task) -> None:
    """One effect for each delivery."""
    _write(task.payload, task)


@handles("test-fail")
def fail(task: Task) -> None:
    """One effect, and a failure in the first `times` attempts."""
    _write(task.payload["file"], task)
    if task.attempt <= task.payload["times"]:
        raise ValueError(f"{task.id} cannot be done")


@handles("test-leave")
def leave(task: Task) -> None:
    """Ask the interpreter to end."""
    raise SystemExit(3)


class Unspeakable(Exception):
    """An error that cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError("not even its own text")


class Hostile(Exception):
    """An error that does not even tell its class."""

    @property
    def __class__(self):
        raise RuntimeError("not even its class")


def _raise(error: BaseException) -> None:
    raise error


async def _letters() -> AsyncIterator[str]:
    yield "a"


#: What a handler may raise or return that is not done work, by its name.
ODDITIES: dict[str, Callable[[], object]] = {
    "BaseException": lambda: _raise(BaseException("base")),
    "CancelledError": lambda: _raise(asyncio.CancelledError()),
    "GeneratorExit": lambda: _raise(GeneratorExit()),
    "KeyboardInterrupt": lambda: _raise(KeyboardInterrupt()),
    "SystemExit": lambda: _raise(SystemExit(0)),
    "MemoryError": lambda: _raise(MemoryError("all of it")),
    "StopIteration": lambda: _raise(StopIteration()),
    "Unspeakable": lambda: _raise(Unspeakable()),
    "Hostile": lambda: _raise(Hostile()),
    "surrogates": lambda: _raise(ValueError("half a \ud83d")),
    "3 MB": lambda: _raise(ValueError("x" * 3_000_000)),
    "group": lambda: _raise(BaseExceptionGroup("two", [KeyboardInterrupt(), ValueError("x")])),
    "Ignore": lambda: _raise(celery.exceptions.Ignore()),
    "Reject": lambda: _raise(celery.exceptions.Reject("no", requeue=False)),
    "Retry": lambda: _raise(celery.exceptions.Retry()),
    "WorkerShutdown": lambda: _raise(celery.exceptions.WorkerShutdown(0)),
    "WorkerTerminate": lambda: _raise(celery.exceptions.WorkerTerminate(1)),
    "WorkerLostError": lambda: _raise(celery.exceptions.WorkerLostError("lost")),
    "coroutine": lambda: asyncio.sleep(0),
    "generator": lambda: (number for number in range(3)),
    "async generator": _letters,
}


@handles("test-odd")
def odd(task: Task) -> object:
    """Ends as the payload says; one effect."""
    _write(task.payload["file"], task)
    return ODDITIES[task.payload["how"]]()


@handles("test-fork")
def fork(task: Task) -> None:
    """One effect, and come back twice, as the payload says."""
    _write(task.payload["file"], task)
    come_back_twice(task.evolve(payload=task.payload["how"]))


@handles("test-kill", once=False)
def kill(task: Task) -> None:
    """One effect, then the process dies as the payload says."""
    _write(task.payload["file"], task)
    if task.payload["how"] == "os._exit":
        os._exit(0)
    os.kill(os.getpid(), task.payload["how"])


@handles("test-wait")
def wait(task: Task) -> None:
    """One effect, then wait for the file `<payload>.go`."""
    _write(task.payload, task)
    pause = threading.Event()
    for _ in range(round(PATIENCE / 0.01)):
        if Path(f"{task.payload}.go").exists():
            return
        pause.wait(0.01)
    raise TimeoutError("nobody let it go")
