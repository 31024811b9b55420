"""Effects that can be counted: a handler that adds a row to a SQLite file, with its mark in the same transaction.

Mark and row are committed together or not at all (`labkit.taskqueue.once.once_in`), so the rows of a task are exactly
its effects, whatever is killed when. The module is named in LABKIT_CELERY_IMPORTS of those who dispatch and perform.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from labkit.celery_app.kinds import handles
from labkit.faults.event import Event
from labkit.taskqueue.once import create_once_table, once_in
from labkit.taskqueue.task import Task

#: The kind of tasks with an effect; the payload is that of `payload`.
EFFECT_KIND = "effect"

#: How long a writer waits for another one, in seconds.
BUSY_TIMEOUT = 30.0

_CREATE = "CREATE TABLE effects (number INTEGER PRIMARY KEY AUTOINCREMENT, task TEXT, worker TEXT, at REAL)"
_INSERT = "INSERT INTO effects (task, worker, at) VALUES (?, ?, ?)"


class Refused(Exception):
    """The task says that it fails."""


def payload(database: Path, *, seconds: float, fails: bool = False) -> dict[str, Any]:
    """What a task of the kind "effect" is told: where its effects are, how long it takes, whether it always fails."""
    return {"database": str(database), "seconds": seconds, "fails": fails}


def create_effects(database: Path) -> None:
    """Make the file and its tables."""
    with connection_to(database) as connection:
        connection.execute("PRAGMA journal_mode=WAL")  # readers and the writer do not wait for each other
        create_once_table(connection)
        connection.execute(_CREATE)


@handles(EFFECT_KIND, once=False)
def have_effect(task: Task) -> None:
    """Take the time that the task needs, then have its effect, unless it was had before."""
    time.sleep(task.payload["seconds"])
    if task.payload["fails"]:
        raise Refused(task.id)
    with connection_to(Path(task.payload["database"])) as connection, connection:
        if once_in(connection, task):
            add_effect(connection, task)


def add_effect(connection: sqlite3.Connection, task: Task) -> None:
    """Add one row for the task, in the connection's open transaction."""
    connection.execute(_INSERT, (task.id, f"process {os.getpid()}", time.time()))


def count_effects(database: Path) -> int:
    """How many effects there were so far."""
    with connection_to(database) as connection:
        return int(connection.execute("SELECT count(*) FROM effects").fetchone()[0])


def read_effects(database: Path) -> list[Event]:
    """Every effect as two events: what has an effect was finished, and the effect itself."""
    with connection_to(database) as connection:
        rows = connection.execute("SELECT number, task, worker, at FROM effects ORDER BY number").fetchall()
    return [event for row in rows for event in _events(*row)]


def _events(number: int, task: str, worker: str, at: float) -> Iterator[Event]:
    yield Event(what="effect", by=worker, seq=2 * number, at=at, task=task, key=task)
    yield Event(what="finished", by=worker, seq=2 * number + 1, at=at, task=task)


@contextmanager
def connection_to(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection, closed at the end. Processes are killed here, not the machine: nothing need reach the disk."""
    with closing(sqlite3.connect(database, timeout=BUSY_TIMEOUT)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        yield connection
