"""Rows of the tables, and the jobs and events that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labkit.jobs.event import JobEvent, Status
from labkit.jobs.job import Job

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
        status=Status(status),
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
        status=Status(status),
        version=version,
        at=at,
        worker=worker,
        attempt=attempt,
        error=error,
    )
