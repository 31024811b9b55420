"""The lock of the one process that follows the topic of the jobs for all others, and who holds it.

Whoever holds it says every second that it goes on. One that has said nothing for a while stands still, as a process
that was suspended: the others then need not wait for it.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

#: How often the holder says that it goes on, and how often the others look, in seconds.
BEAT = 1.0
#: After so many seconds without a word of the holder the others go on without the lock.
STANDSTILL = 5.0
#: The lock in PostgreSQL: a number that nobody else would take.
FOLLOWING = 0x6C61626B69740001


class LockHolder(NamedTuple):
    """Who holds the lock. `beat` is another each time that it has said that it goes on."""

    name: str
    beat: str


class FollowLock(Protocol):
    """Held by the one process that follows the topic for all others; free when that process has ended."""

    def acquire(self) -> bool:
        """Take it if it is free or mine already."""
        ...

    def beat(self) -> None:
        """Say that I go on, if it is mine."""
        ...

    def holder(self) -> LockHolder | None:
        """Who holds it; None if that is not known."""
        ...

    def release(self) -> None:
        """Give it back, if it is mine."""
        ...


class LockedFile:
    """A locked file, which the system lets go when the process ends; `beside` it the holder writes who it is."""

    def __init__(self, path: str, beside: str) -> None:
        self._lock: Any = FileLock(path, timeout=0, thread_local=False)
        self._beside = Path(beside)

    def acquire(self) -> bool:
        """Take it if it is free or mine already."""
        if not self._lock.is_locked:
            with suppress(Timeout):
                self._lock.acquire()
                self.beat()
        return bool(self._lock.is_locked)

    def beat(self) -> None:
        """Say that I go on, if it is mine."""
        if self._lock.is_locked:
            with suppress(OSError):  # on a full disk others may read as well, which does no harm
                self._beside.write_text(str(os.getpid()), encoding="ascii")

    def holder(self) -> LockHolder | None:
        """Who holds it, by what it has written."""
        with suppress(OSError):
            pid = self._beside.read_bytes()[:20]
            name = f"Process {int(pid)}" if pid.isdigit() else "Another process"  # it may be just about to write
            return LockHolder(name, str(self._beside.stat().st_mtime_ns))
        return None

    def release(self) -> None:
        """Give it back, if it is mine."""
        self._lock.release()


class AdvisoryLock:
    """An advisory lock of PostgreSQL, which the server lets go when the connection ends."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None

    def acquire(self) -> bool:
        """Take it if it is free or mine already."""
        if self._connection is None:
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": FOLLOWING}):
                self._connection = connection
                self._ask("SELECT set_config('application_name', :name, false)", name=_name_here())
            else:
                connection.close()
        return self._connection is not None

    def beat(self) -> None:
        """Say that I go on, if it is mine: the server notes when a connection was last used."""
        if self._connection is not None:
            self._ask("SELECT 1")

    def holder(self) -> LockHolder | None:
        """Who holds it, by what the server knows of that connection."""
        parts = {"high": FOLLOWING >> 32, "low": FOLLOWING & 0xFFFFFFFF}
        with self._engine.connect() as connection:
            found = connection.execute(_HOLDER, parts).one_or_none()
        return None if found is None else LockHolder(found.name or "Another process", str(found.beat))

    def release(self) -> None:
        """Give it back, if it is mine."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()  # not only given back to the pool: the lock ends with the connection
            with suppress(SQLAlchemyError):
                connection.close()

    def _ask(self, question: str, **values: object) -> None:
        assert self._connection is not None
        try:
            self._connection.execute(text(question), values)
        except BaseException:
            self.release()  # with its connection the lock is lost
            raise


_HOLDER = text(
    "SELECT application_name AS name, state_change AS beat FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' AND granted AND classid = CAST(:high AS bigint) AND objid = CAST(:low AS bigint) "
    "AND objsubid = 1 AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def _name_here() -> str:
    """This process, in as many bytes as PostgreSQL keeps of a name."""
    return f"Process {os.getpid()} on {platform.node()}"[:63]


class HolderWatch:
    """Whether the holder of the lock goes on, as seen by another process. `measure` gives seconds from any moment."""

    def __init__(self, lock: FollowLock, measure: Callable[[], float] = time.monotonic) -> None:
        self._lock = lock
        self._measure = measure
        self._holder: LockHolder | None = None
        #: since when nothing was heard of it; None before the first look
        self._since: float | None = None
        self._look_at = measure()

    def stands_still(self) -> bool:
        """Whether nothing was heard of it for `STANDSTILL` seconds."""
        now = self._measure()
        if now >= self._look_at:
            holder = self._lock.holder()
            if self._since is None or holder != self._holder:
                self._holder, self._since = holder, now
            self._look_at = now + BEAT
        return self._since is not None and now - self._since >= STANDSTILL

    def goes_on(self) -> None:
        """Somebody else was seen to go on."""
        self._since = self._measure()

    def forget(self) -> None:
        """The lock is mine: whoever had it before is of no account."""
        self._holder = self._since = None

    def told(self) -> str:
        """Who stands still, in a sentence with a space before it; nothing if nobody does, as far as was seen."""
        silent = 0.0 if self._since is None else self._measure() - self._since
        if silent < 3 * BEAT:
            return ""
        name = "Another process" if self._holder is None else self._holder.name
        return (
            f" {name} follows the topic for all and has stood still for {silent:.0f} s: if it was suspended "
            "(Ctrl-Z, SIGSTOP), have it go on (`fg`, `kill -CONT`) or end it."
        )
