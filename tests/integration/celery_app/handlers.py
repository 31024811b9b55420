"""What Celery's workers do in these tests. A payload names a file; each line in it is one effect."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from labkit.dispatch import handles
from labkit.taskqueue.task import Task

#: As in LABKIT_CELERY_IMPORTS.
MODULE = "tests.integration.celery_app.handlers"

#: How long a handler waits at most to be let go, in seconds.
PATIENCE = 60.0


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
    """One effect, and a failure the first `times` times."""
    _write(task.payload["file"], task)
    if len(effects(task.payload["file"])) <= task.payload["times"]:
        raise ValueError(f"{task.id} cannot be done")


@handles("test-leave")
def leave(task: Task) -> None:
    """Ask the interpreter to end."""
    raise SystemExit(3)


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
