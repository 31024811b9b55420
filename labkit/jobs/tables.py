"""The tables of the view: what the jobs are, every event they come from, and how far the topic was read."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, MetaData, String, Table, Text

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
