"""The stored view: what its tables are asked, and how a batch of events comes into them.

A batch and the offsets behind it are one transaction. It begins only where the last one ended, whoever made that; so
several processes may use one store, and none can leave out an event or go back. The same holds for whatever else a
process writes: it goes by what that process has seen, and is dropped where it is so no more, as after a suspension.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, delete, exists, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from labkit.errors import LabError, StoreFailed
from labkit.jobs.database import open_database
from labkit.jobs.follow_lock import FollowLock, LockHolder
from labkit.jobs.job import Job, JobEvent, JobStatus
from labkit.jobs.tables import Placed, add_events, event_of, job_events, job_of, jobs, metadata, origin, positions


class TopicId(NamedTuple):
    """Which topic a store is the view of: the id tells apart those that had the same name."""

    name: str
    id: str


Positions = Mapping[int, int]


class StoreMoved(Exception):
    """Another process has written the store meanwhile; what was read does not fit on it."""


class Store:
    """The view in its database. Safe to use from several threads and processes.

    What it answers is that of the topic named; of a store that holds another's, nothing. `clock` gives seconds since
    the epoch. Raises `StoreFailed` when the database does not do as it should.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._database = open_database(url)
        self._clock = clock
        try:
            with self._in_words():
                self._database.make_tables()
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """Where the store is, without a password."""
        return self._database.name

    def follow_lock(self) -> FollowLock:
        """The lock of the process that follows the topic."""
        return _LockOfStore(self._database.follow_lock(), self._in_words)

    def close(self) -> None:
        """Let go of the connections; those in use in other threads are closed after it."""
        self._database.engine.pool.dispose()

    def origin(self) -> TopicId | None:
        """Of which topic this is the view; None if it is empty."""
        with self._reading() as connection:
            found = connection.execute(_ORIGIN).one_or_none()
        return None if found is None else TopicId(*found[:2])

    def begin(self, topic: TopicId, *, before: TopicId | None) -> None:
        """Make it the view of this topic, empty unless it was so before.

        Raises `StoreMoved` if it is neither the view of it nor, any more, of the one `before`.
        """
        with self._writing() as connection:
            found = connection.execute(_ORIGIN).one_or_none()
            origin_now = None if found is None else TopicId(*found[:2])
            if origin_now == topic:
                return
            if origin_now != before:
                raise StoreMoved
            self._clear(connection, topic, found)

    def reset(self, topic: TopicId, *, at: Positions) -> None:
        """Forget everything of this topic, if it is the view of it up to these offsets."""
        with self._writing() as connection:
            found = _origin_at(connection, topic, at)
            if found is not None:
                self._clear(connection, topic, found)

    def positions(self, topic: TopicId) -> dict[int, int]:
        """The offset to read next, per partition."""
        return {row.partition: row.next_offset for row in self._ask(topic, select(positions))}

    def add(self, topic: TopicId, events: Sequence[Placed], *, before: Positions, after: Positions) -> None:
        """Add the events between these offsets, or raise `StoreMoved` if the store is not at the first of them."""
        with self._writing() as connection:
            found = _origin_at(connection, topic, before)
            if found is None:
                raise StoreMoved
            if events:
                changes = add_events(connection, events, found.changes)
                connection.execute(update(origin).values(changes=changes))
            _set_positions(connection, before, after)

    def get(self, topic: TopicId, job_id: int) -> Job | None:
        """The job; None if it is not known."""
        rows = self._ask(topic, _JOBS.where(jobs.c.job_id == job_id))
        return job_of(rows[0]) if rows else None

    def page(self, topic: TopicId, *, status: JobStatus | None, after: int | None, limit: int) -> list[Job]:
        """Jobs in the order of their ids."""
        query = _JOBS.order_by(jobs.c.job_id).limit(limit)
        if status is not None:
            query = query.where(jobs.c.status == status.value)
        if after is not None:
            query = query.where(jobs.c.job_id > after)
        return [job_of(row) for row in self._ask(topic, query)]

    def events(self, topic: TopicId, job_id: int) -> list[JobEvent]:
        """The job's events in the order of their versions, those of the same version by time."""
        query = _EVENTS.where(job_events.c.job_id == job_id)
        return [event_of(row) for row in self._ask(topic, query.order_by(job_events.c.version, job_events.c.at))]

    def counts(self, topic: TopicId) -> dict[JobStatus, int]:
        """How many jobs there are of every status."""
        found = self._ask(topic, select(jobs.c.status, func.count()).group_by(jobs.c.status))
        return dict.fromkeys(JobStatus, 0) | {JobStatus(row[0]): row[1] for row in found}

    def changes_since(self, topic: TopicId, cursor: int, limit: int) -> list[Job]:
        """The jobs that have changed after the change of that number, in the order of their last change."""
        query = _JOBS.where(jobs.c.change > cursor).order_by(jobs.c.change).limit(limit)
        return [job_of(row) for row in self._ask(topic, query)]

    def last_change(self, topic: TopicId) -> int:
        """The number of the last change; 0 if there was none."""
        rows = self._ask(topic, select(origin.c.changes))
        return int(rows[0].changes) if rows else 0

    def outvoted(self, topic: TopicId, limit: int) -> list[Job]:
        """Jobs whose last event is not the one that they are known by."""
        return [job_of(row) for row in self._ask(topic, _JOBS.where(jobs.c.outvoted).limit(limit))]

    def set_mended(self, topic: TopicId, job_ids: Iterable[int], *, at: Positions) -> None:
        """The last event of these jobs is the right one now, or raise `StoreMoved` if more was read than up to these
        offsets: it may have been an older one.
        """
        with self._writing() as connection:
            if _origin_at(connection, topic, at) is None:
                raise StoreMoved
            mended = update(jobs).where(jobs.c.job_id.in_(list(job_ids)))
            connection.execute(mended.values(outvoted=False))

    def _clear(self, connection: Connection, topic: TopicId, found: Any) -> None:
        # the numbers go on, also where the store was deleted: who has seen one must not miss what comes
        changes = max(found.changes if found is not None else 0, int(self._clock() * 1e6))
        for table in metadata.sorted_tables:
            connection.execute(delete(table))
        row = {"id": 1, "topic": topic.name, "topic_id": topic.id, "changes": changes}
        connection.execute(insert(origin).values(row))

    def _ask(self, topic: TopicId, query: Select[Any]) -> Sequence[Any]:
        with self._reading() as connection:
            return connection.execute(query.where(_is_of(topic))).all()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._in_words():
            self._find()
            with self._database.engine.connect() as connection:
                yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._in_words():
            self._find()
            with self._database.engine.begin() as connection:
                self._database.begin_to_write(connection)
                yield connection

    def _find(self) -> None:
        """Make the database again if it was deleted."""
        if not self._database.is_there():
            self._database.make_tables()

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError, LabError) as error:  # the database, the files beside it, their folder
            reason = str(getattr(error, "orig", None) or error).splitlines()[0].rstrip(".")
            raise StoreFailed(
                f"The store of the jobs, {self.name}, cannot be used: {reason}. It holds nothing but what is on the "
                "topic: where it is damaged, delete it, and it is built again. LABKIT_JOBS_URL names another one."
            ) from error


class _LockOfStore:
    """The lock, with errors `in_words`."""

    def __init__(self, lock: FollowLock, in_words: Callable[[], AbstractContextManager[None]]) -> None:
        self._lock = lock
        self._in_words = in_words

    def acquire(self) -> bool:
        with self._in_words():
            return self._lock.acquire()

    def beat(self) -> None:
        with self._in_words():
            self._lock.beat()

    def holder(self) -> LockHolder | None:
        with self._in_words():
            return self._lock.holder()

    def release(self) -> None:
        with self._in_words():
            self._lock.release()


_ORIGIN = select(origin.c.topic, origin.c.topic_id, origin.c.changes)
_JOBS = select(jobs)
_EVENTS = select(job_events)


def _origin_at(connection: Connection, topic: TopicId, offsets: Positions) -> Any:
    """Its row, if the store is the view of this topic up to these offsets; else None."""
    found = connection.execute(_ORIGIN).one_or_none()
    is_at = found is not None and TopicId(*found[:2]) == topic and _positions(connection) == offsets
    return found if is_at else None


def _is_of(topic: TopicId) -> Any:
    return exists(select(1).select_from(origin).where(origin.c.topic == topic.name, origin.c.topic_id == topic.id))


def _positions(connection: Connection) -> dict[int, int]:
    return {row.partition: row.next_offset for row in connection.execute(select(positions))}


def _set_positions(connection: Connection, before: Positions, after: Positions) -> None:
    for partition, offset in after.items():
        values = {"partition": partition, "next_offset": offset}
        if partition not in before:
            connection.execute(insert(positions).values(values))
        elif before[partition] != offset:
            connection.execute(update(positions).where(positions.c.partition == partition).values(values))
