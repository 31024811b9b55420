"""How a batch of events comes into the tables: the events themselves, and what the jobs become by them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from sqlalchemy import Connection, Table, select

from labkit.jobs.event import JobEvent, Status, merge
from labkit.jobs.job import Job
from labkit.jobs.rows import Values, job_of, values_of
from labkit.jobs.tables import job_events, jobs

#: How many rows are written, and how many jobs looked up, by one statement.
AT_ONCE = 500


class Placed(NamedTuple):
    """An event and where it stands."""

    partition: int
    offset: int
    event: JobEvent


class _Tally:
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
        if event.status is Status.NEW:
            created_at = self.created_at.get(job_id)
            self.created_at[job_id] = event.at if created_at is None else min(created_at, event.at)

    def values(self, job_id: int, change: int) -> Values:
        """The job's row."""
        event = self.greatest[job_id]
        # a job that was created again need not be mended: it is NEW either way
        outvoted = event.status is not Status.NEW and event != self.last[job_id]
        return (*values_of(event), self.created_at.get(job_id), change, outvoted)

    def is_other(self, job: Job) -> bool:
        """Whether the job is not what it was."""
        return self.greatest[job.job_id] != job.event() or self.created_at[job.job_id] != job.created_at


def add_events(connection: Connection, events: Sequence[Placed], changes: int) -> int:
    """Add events and what the jobs become by them; the number of the last change."""
    _write(connection, job_events, [(part, offset, *values_of(event)) for part, offset, event in events])
    known = {job.job_id: job for job in _look_up(connection, {placed.event.job_id for placed in events})}
    tally = _Tally(known.values())
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
