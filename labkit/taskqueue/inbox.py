"""Which tasks are done, in a table of the handler's own database: mark and effect in one transaction.

This is the idempotent consumer, or inbox (https://microservices.io/patterns/communication-style/idempotent-consumer.html).
The primary key decides between two deliveries at once.
"""

from __future__ import annotations

import sqlite3
import sys
from typing import Any, Protocol

from labkit.errors import Unsupported
from labkit.parameters import checked
from labkit.taskqueue.task import Task


def identity(task: Task) -> str:
    """What a task is known by: its idempotency key if its sender gave it one, else its id."""
    return f"id:{task.id}" if task.idempotency_key is None else f"key:{task.idempotency_key}"


class DatabaseConnection(Protocol):
    """A connection as in DB-API 2.0 (PEP 249): `sqlite3`, `psycopg`, …"""

    def cursor(self) -> Any:
        """A cursor in the connection's transaction."""
        ...


_CREATE = """CREATE TABLE IF NOT EXISTS labkit_once (
  effect TEXT NOT NULL, task TEXT NOT NULL, done_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (effect, task))"""

_INSERT = "INSERT INTO labkit_once (effect, task) VALUES ({0}, {0}) ON CONFLICT DO NOTHING"

_PLACEHOLDERS = {"qmark": "?", "format": "%s", "pyformat": "%s"}


@checked
def create_once_table(connection: DatabaseConnection) -> None:
    """Create the table that `once_in` needs, if it is not there. Commit as your driver wants it."""
    connection.cursor().execute(_CREATE)


@checked
def once_in(connection: DatabaseConnection, task: Task, *, effect: str = "") -> bool:
    """Whether this is the first time for the task; it is remembered in the connection's open transaction.

        with connection:                           # commits, or rolls back if the handler raises
            if once_in(connection, task):
                connection.execute("UPDATE …")     # the effect, in the same transaction

    Call it first in the transaction. Mark and effect are committed together or not at all. While another transaction
    holds the same task, PostgreSQL waits for its outcome; SQLite waits for its write lock as long as the connection's
    `timeout` says, and then raises. Several effects for one task (several handlers on one database, say) have
    different names in `effect`.

    Raises `Unsupported` for a connection in autocommit mode without a transaction, since the mark would be committed
    before the effect, and for a driver of another paramstyle; and what the driver raises, such as a missing table.
    """
    if _commits_at_once(connection):
        raise Unsupported(
            "This connection commits every statement by itself, so the mark would not be in the transaction of the "
            "effect. Begin a transaction first, or turn autocommit off."
        )
    cursor = connection.cursor()
    cursor.execute(_INSERT.format(_placeholder(connection)), (effect, identity(task)))
    return bool(cursor.rowcount == 1)


def _placeholder(connection: DatabaseConnection) -> str:
    """How the connection's driver writes a parameter: it says so in its `paramstyle`."""
    for kind in type(connection).__mro__:
        driver = sys.modules[kind.__module__.partition(".")[0]]
        if (placeholder := _PLACEHOLDERS.get(getattr(driver, "paramstyle", ""))) is not None:
            return placeholder
    raise Unsupported(
        f"{type(connection).__qualname__} is no connection of DB-API 2.0 with the paramstyle qmark, format or "
        "pyformat. Hand in the driver's own connection, of sqlite3 or psycopg, say."
    )


def _commits_at_once(connection: Any) -> bool:
    autocommit = getattr(connection, "autocommit", False) is True
    if isinstance(connection, sqlite3.Connection):
        return (autocommit or connection.isolation_level is None) and not connection.in_transaction
    # psycopg knows whether a transaction was begun all the same; 0 is libpq's PQTRANS_IDLE
    return autocommit and getattr(getattr(connection, "info", None), "transaction_status", 0) == 0
