"""The tables of the view: what the jobs are, every event they come from, and how far the topic was read.

Rows stand for jobs and events; `add_events` brings a batch of events into the tables, with what the jobs become by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    select,
)

from labkit.jobs.job import Job, JobEvent, JobStatus, merge

metadata = MetaData()

#: SQLite keeps rows by a key of exactly this type; any other needs an index beside the table.
_Key = BigInteger().with_variant(Integer, "sqlite")

#: One row: of which topic this is the view, and the number of the last change.
origin = Table(
    "job_origin",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("topic", Text, nullable=False),
    Column("topic_id", Text, nullable=False),
    Column("changes", BigInteger, nullable=False),
)

#: Per partition, the offset that is read next.
positions = Table(
    "job_positions",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
)

#: What the jobs are. `outvoted`: the last event that was read of the job is not the one that it is known by.
jobs = Table(
    "jobs",
    metadata,
    Column("job_id", _Key, primary_key=True, autoincrement=False),
    Column("status", String(7), nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("worker", Text),
    Column("attempt", Integer, nullable=False),
    Column("error", Text),
    Column("created_at", Double),
    Column("change", BigInteger, nullable=False),
    Column("outvoted", Boolean, nullable=False),
)
Index("jobs_by_status", jobs.c.status, jobs.c.job_id)
Index("jobs_by_change", jobs.c.change)
Index("jobs_outvoted", jobs.c.job_id, sqlite_where=jobs.c.outvoted, postgresql_where=jobs.c.outvoted)

#: Every event, known by its place on the topic.
job_events = Table(
    "job_events",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("job_id", BigInteger, nullable=False),
    Column("status", String(7), nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("worker", Text),
    Column("attempt", Integer, nullable=False),
    Column("error", Text),
    sqlite_with_rowid=False,
)
Index("job_events_by_job", job_events.c.job_id)

#: The values of a row, in the order of its table's columns.
Values = tuple[object, ...]


def values_of(event: JobEvent) -> Values:
    """What the tables of the jobs and of the events have in common."""
    return (event.job_id, event.status.value, event.version, event.at, event.worker, event.attempt, event.error)


def job_of(row: Sequence[Any]) -> Job:
    """The job of a row of `jobs`."""
    job_id, status, version, at, worker, attempt, error, created_at, change, _outvoted = row
    return Job(
        job_id=job_id,
        status=JobStatus(status),
        version=version,
        at=at,
        worker=worker,
        attempt=attempt,
        error=error,
        created_at=created_at,
        change=change,
    )


def event_of(row: Sequence[Any]) -> JobEvent:
    """The event of a row of `job_events`."""
    _partition, _offset, job_id, status, version, at, worker, attempt, error = row
    return JobEvent(
        job_id=job_id,
        status=JobStatus(status),
        version=version,
        at=at,
        worker=worker,
        attempt=attempt,
        error=error,
    )


#: How many rows are written, and how many jobs looked up, by one statement.
AT_ONCE = 500


class Placed(NamedTuple):
    """An event and where it stands."""

    partition: int
    offset: int
    event: JobEvent


class _BatchJobs:
    """The jobs that a batch is about: by their greatest events, with the time of their first NEW."""

    def __init__(self, known: Iterable[Job]) -> None:
        self.greatest = {job.job_id: job.event() for job in known}
        self.created_at = {job.job_id: job.created_at for job in known}
        self.last: dict[int, JobEvent] = {}

    def take(self, event: JobEvent) -> None:
        job_id = event.job_id
        self.last[job_id] = event
        known = self.greatest.get(job_id)
        self.greatest[job_id] = event if known is None else merge(known, event)
        if event.status is JobStatus.NEW:
            created_at = self.created_at.get(job_id)
            self.created_at[job_id] = event.at if created_at is None else min(created_at, event.at)

    def values(self, job_id: int, change: int) -> Values:
        """The job's row."""
        event = self.greatest[job_id]
        # a job that was created again need not be mended: it is NEW either way
        outvoted = event.status is not JobStatus.NEW and event != self.last[job_id]
        return (*values_of(event), self.created_at.get(job_id), change, outvoted)

    def is_other(self, job: Job) -> bool:
        """Whether the job is not what it was."""
        return self.greatest[job.job_id] != job.event() or self.created_at[job.job_id] != job.created_at


def add_events(connection: Connection, events: Sequence[Placed], changes: int) -> int:
    """Add events and what the jobs become by them; the number of the last change."""
    _write(connection, job_events, [(part, offset, *values_of(event)) for part, offset, event in events])
    known = {job.job_id: job for job in _look_up(connection, {placed.event.job_id for placed in events})}
    tally = _BatchJobs(known.values())
    for _, _, event in events:
        tally.take(event)
    rows = []
    for job_id in tally.last:
        job = known.get(job_id)
        if job is None or tally.is_other(job):
            changes += 1
            rows.append(tally.values(job_id, changes))
        else:
            rows.append(tally.values(job_id, job.change))
    _write(connection, jobs, rows)
    return changes


def _write(connection: Connection, table: Table, rows: list[Values]) -> None:
    """Put the rows in the place of those with the same keys, or add them; many by one statement.

    Both databases take the same SQL, and it is written by hand: SQLAlchemy would take as long for every row as the
    database does, and SQLite lets go of Python's lock after every statement, which another thread then may hold.
    """
    quote = connection.dialect.identifier_preparer.quote
    columns = [quote(column.name) for column in table.c]
    key = ", ".join(quote(column.name) for column in table.primary_key)
    mark = {"qmark": "?", "format": "%s"}[connection.dialect.paramstyle]
    row = f"({', '.join([mark] * len(columns))})"
    replaced = ", ".join(f"{column} = excluded.{column}" for column in columns)
    for start in range(0, len(rows), AT_ONCE):
        part = rows[start : start + AT_ONCE]
        connection.exec_driver_sql(
            f"INSERT INTO {quote(table.name)} ({', '.join(columns)}) VALUES {', '.join([row] * len(part))} "  # noqa: S608
            f"ON CONFLICT ({key}) DO UPDATE SET {replaced}",
            tuple(chain.from_iterable(part)),
        )


def _look_up(connection: Connection, job_ids: set[int]) -> Iterator[Job]:
    wanted = sorted(job_ids)
    for start in range(0, len(wanted), AT_ONCE):
        part = wanted[start : start + AT_ONCE]
        yield from map(job_of, connection.execute(select(jobs).where(jobs.c.job_id.in_(part))))
