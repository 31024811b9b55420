"""The databases that can hold the view: SQLite in a file, and PostgreSQL. What differs between them stands here."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from sqlalchemy.schema import CreateIndex, CreateTable

from labkit.errors import SettingsError
from labkit.jobs.tables import metadata, origin
from labkit.lab.folders import make_folder

#: How long one writer waits for another, in seconds.
BUSY_TIMEOUT = 30.0
#: How long PostgreSQL may take to accept a connection, and to give a lock that another program holds, in seconds.
CONNECT_TIMEOUT, LOCK_TIMEOUT = 10, 30
#: The locks in PostgreSQL: numbers that nobody else would take. Who follows the topic, and who makes the tables.
FOLLOWING, MAKING = 0x6C61626B69740001, 0x6C61626B69740002


class FollowLock(Protocol):
    """Held by the one process that follows the topic for all others; free when that process has ended."""

    def acquire(self) -> bool:
        """Take it if it is free or mine already."""
        ...

    def release(self) -> None:
        """Give it back, if it is mine."""
        ...


class Database(Protocol):
    """A database with the tables of the view."""

    name: str
    engine: Engine

    def make_tables(self) -> None:
        """Make what is not there yet; several processes may do so at once."""
        ...

    def is_there(self) -> bool:
        """Whether the database is the one that was opened."""
        ...

    def begin_to_write(self, connection: Connection) -> None:
        """Nobody else writes from here to the end of the transaction."""
        ...

    def follow_lock(self) -> FollowLock:
        """The lock of who follows."""
        ...


def open_database(url: str) -> Database:
    """The database at that URL. Raises `SettingsError` for one that cannot hold the view."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingsError(f"LABKIT_JOBS_URL: {url!r} is no URL of a database. {_HOW_TO_WRITE}") from error
    if parsed.get_backend_name() == "sqlite":
        return Sqlite(parsed)
    if parsed.get_backend_name() == "postgresql":
        return Postgres(parsed)
    raise SettingsError(f"LABKIT_JOBS_URL: the view cannot be in {parsed.get_backend_name()}. {_HOW_TO_WRITE}")


class _Pool(QueuePool):
    """Once disposed of, it closes what comes back to it; SQLAlchemy's own leaves that to the garbage collector."""

    _disposed = False

    def dispose(self) -> None:
        self._disposed = True
        super().dispose()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        super()._do_return_conn(record)
        if self._disposed:
            super().dispose()


_HOW_TO_WRITE = "Write sqlite:////folder/jobs.sqlite, or postgresql://user:password@host:5432/database."


class Sqlite:
    """A file, in WAL mode: readers do not wait for the writer, nor it for them."""

    def __init__(self, url: URL) -> None:
        if not url.database or url.database == ":memory:":
            raise SettingsError(f"LABKIT_JOBS_URL: SQLite in memory cannot be shared between threads. {_HOW_TO_WRITE}")
        try:
            self._path = Path(url.database).expanduser().absolute()
        except RuntimeError as error:  # of an unknown user's home
            raise SettingsError(f"LABKIT_JOBS_URL: {url.database} cannot be found: {error}") from error
        self.name = str(self._path)
        # a file is made with its tables, and by nobody who only asks
        url = url.set(database=self._path.as_uri()).update_query_dict({"uri": "true", "mode": "rw"})
        self.engine = create_engine(url, poolclass=_Pool, connect_args={"timeout": BUSY_TIMEOUT})
        event.listen(self.engine, "connect", _set_up)
        self._inode: int | None = None

    def make_tables(self) -> None:
        """Make the file and what is not in it yet. Raises `LabError` if its folder cannot be made."""
        make_folder(self._path.parent)
        # two that change the mode at once would fail, whatever the time-out
        with FileLock(self._beside("making"), timeout=BUSY_TIMEOUT):
            if not self.is_there():
                self._make_anew()

    def _make_anew(self) -> None:
        self._inode = None  # a deleted file's number may be given to the next one
        self.engine.dispose()
        self._path.touch()
        with self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            self.begin_to_write(connection)
            _make(connection)
            connection.commit()
        self._inode = self._path.stat().st_ino

    def is_there(self) -> bool:
        """Whether nobody has deleted the file meanwhile."""
        with suppress(FileNotFoundError):
            return self._path.stat().st_ino == self._inode
        return False

    def begin_to_write(self, connection: Connection) -> None:
        """Take the file's write lock; one that began by reading might find the data changed before it writes."""
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def follow_lock(self) -> FollowLock:
        """A locked file, which the system lets go when the process ends."""
        return _LockedFile(FileLock(self._beside("following"), timeout=0, thread_local=False))

    def _beside(self, what: str) -> str:
        return f"{self.name}-{what}.lock"


def _set_up(connection: sqlite3.Connection, _record: Any) -> None:
    try:
        connection.isolation_level = None  # we say BEGIN; Python's own rules would begin too late
        connection.execute("PRAGMA synchronous=NORMAL")  # after a power cut the last of it is read from the topic again
        connection.execute("PRAGMA cache_size=-64000")
    except BaseException:
        connection.close()  # SQLAlchemy forgets one that could not be set up
        raise


class _LockedFile:
    def __init__(self, lock: Any) -> None:
        self._lock = lock

    def acquire(self) -> bool:
        if not self._lock.is_locked:
            with suppress(Timeout):
                self._lock.acquire()
        return bool(self._lock.is_locked)

    def release(self) -> None:
        self._lock.release()


class Postgres:
    """A database of a PostgreSQL server."""

    def __init__(self, url: URL) -> None:
        url = url.set(drivername="postgresql+psycopg")
        self.name = url.render_as_string(hide_password=True)
        try:
            self.engine = create_engine(
                url, poolclass=_Pool, pool_pre_ping=True, paramstyle="format", connect_args=_LIMITS | dict(url.query)
            )
        except ImportError as error:
            raise SettingsError(
                "LABKIT_JOBS_URL names PostgreSQL, and its driver psycopg is not installed: "
                "`pip install 'labkit[postgres]'`."
            ) from error
        event.listen(self.engine, "connect", _limit_waits)

    def make_tables(self) -> None:
        """Make what is not there yet."""
        with self.engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MAKING})
            _make(connection)

    def is_there(self) -> bool:
        """A server's database does not vanish; its errors tell."""
        return True

    def begin_to_write(self, connection: Connection) -> None:
        """Lock the table that every writer needs, also while it has no row; readers go on."""
        connection.execute(text(f"LOCK TABLE {origin.name} IN EXCLUSIVE MODE"))

    def follow_lock(self) -> FollowLock:
        """An advisory lock, which the server lets go when the connection ends."""
        return _AdvisoryLock(self.engine)


#: How long a connection may take, and one whose other end has gone without a word: in seconds, the last in ms.
_LIMITS = {
    "connect_timeout": CONNECT_TIMEOUT,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}


def _limit_waits(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:  # said here, since poolers take no options of a connection
        cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}s'")
    connection.commit()


class _AdvisoryLock:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None

    def acquire(self) -> bool:
        if self._connection is None:
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": FOLLOWING}):
                self._connection = connection
            else:
                connection.close()
        return self._connection is not None

    def release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()  # not only given back to the pool: the lock ends with the connection
            with suppress(SQLAlchemyError):
                connection.close()


def _make(connection: Connection) -> None:
    for table in metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            connection.execute(CreateIndex(index, if_not_exists=True))
