"""A job: its changes, as they stand on the topic `job-status`, and what may become of it.

A change, an event, is a task of the kind "job": its key is the job's id, its payload the event. So everything that is
made for tasks works for events too. Its version counts the changes of the job:

    NEW 1    RUNNING of attempt a: 2a    DONE or FAILED of attempt a: 2a + 1

Of all events of a job the greatest, by `merge`, is what the job is. Which one that is does not depend on the order in
which they are read, nor on how often. So partitions that are added, several writers, redelivered tasks and compaction
cannot take a job backwards.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import NAMESPACE_OID, uuid5

from msgspec import Meta, Struct, ValidationError, to_builtins
from msgspec.structs import replace

from labkit.errors import BadRecord, IllegalTransition
from labkit.parameters import checked
from labkit.taskqueue.task import Task
from labkit.taskqueue.transport.contract import Record
from labkit.typed_values import json_decoder, typed

#: The topic of the jobs, and the kind of the tasks on it.
JOB_STATUS, JOB_KIND = "job-status", "job"

#: The largest id of a job: what a browser's numbers hold exactly.
MAX_JOB_ID = 2**53 - 1


class JobStatus(StrEnum):
    """What a job may be."""

    NEW = "NEW"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"


#: The largest version of a job: what a database's whole numbers hold.
MAX_VERSION = 2**31 - 1
#: The times that calendars can show in every time zone, in seconds since the epoch: the years 1 to 9999.
TIMES = datetime(1, 1, 2, tzinfo=UTC).timestamp(), datetime(9999, 12, 31, tzinfo=UTC).timestamp()

#: Which wins where all else is equal: an end over what leads to it, and among the ends the good one.
_WEIGHT = {JobStatus.NEW: 0, JobStatus.RUNNING: 1, JobStatus.FAILED: 2, JobStatus.DONE: 3}


class JobEvent(Struct, frozen=True, kw_only=True, gc=False):
    """One change of a job. `at` is in seconds since the epoch; `worker` is who made the change.

    Raises `ValueError` for a version that does not go with the status, and for what no database can hold or no calendar
    show: whoever keeps or shows jobs would be stopped by such an event for ever.
    """

    job_id: Annotated[int, Meta(ge=1, le=MAX_JOB_ID)]
    status: JobStatus
    version: Annotated[int, Meta(ge=1, le=MAX_VERSION)]
    at: float
    worker: str | None = None
    attempt: Annotated[int, Meta(ge=0, le=MAX_VERSION)] = 0
    error: str | None = None

    def __post_init__(self) -> None:
        if not TIMES[0] <= self.at <= TIMES[1]:
            raise ValueError(f"{self.at} is not a time")
        if "\0" in (self.worker or "") or "\0" in (self.error or ""):
            raise ValueError("a text with a null character in it cannot be kept")
        if self.version != version_of(self.status, self.attempt):
            raise ValueError(f"attempt {self.attempt} is not {self.status} in version {self.version}")

    def to_task(self) -> Task:
        """The task that stands for this event. The same event has the same id, however often it is sent."""
        key = str(self.job_id)
        identity = f"{key}/{self.version}/{self.status}/{self.at!r}/{self.worker}"
        return Task(
            id=str(uuid5(NAMESPACE_OID, identity)),
            kind=JOB_KIND,
            key=key,
            payload=to_builtins(self),
            created_at=self.at,
        )

    @classmethod
    def of(cls, record: Record) -> JobEvent:
        """The event that stands in a record; raises `BadRecord`, which says what is wrong and where."""
        try:
            value = _decode(record.value or b"")
        except ValueError as error:
            raise _bad(record, str(error)) from error
        event = value.payload
        if value.kind != JOB_KIND:
            raise _bad(record, f"it is a task of the kind {value.kind!r}")
        if record.key != b"%d" % event.job_id:
            raise _bad(record, f"its key {record.key!r} is not the id of job {event.job_id}")
        return event

    @classmethod
    def of_task(cls, task: Task) -> JobEvent:
        """The event that a worker was handed as a task; raises `BadRecord`."""
        try:
            event = typed(task.payload, JobEvent)
        except ValidationError as error:
            raise BadRecord(f"The task {task.id} is no change of a job: {error}.") from error
        if (task.kind, task.key) != (JOB_KIND, str(event.job_id)):
            raise BadRecord(
                f"The task {task.id} is no change of a job: its kind is {task.kind!r}, its key {task.key!r}."
            )
        return event


class _EventValue(Struct):
    """What stands in a record's value, as far as it matters here (see `labkit.taskqueue.task`)."""

    kind: str
    payload: JobEvent


_decode = json_decoder(_EventValue).decode


def _bad(record: Record, reason: str) -> BadRecord:
    where = f"{record.topic}, partition {record.partition}, offset {record.offset}"
    return BadRecord(f"The record at {where} is no change of a job: {reason}.")


def version_of(status: JobStatus, attempt: int) -> int:
    """The version of a job of this status. Raises `ValueError` if attempt 0 is anything but NEW."""
    if (attempt == 0) != (status is JobStatus.NEW) or attempt < 0:
        raise ValueError(f"attempt {attempt} cannot be {status}")
    return 1 if status is JobStatus.NEW else 2 * attempt + (status is not JobStatus.RUNNING)


@checked
def merge(one: JobEvent, other: JobEvent) -> JobEvent:
    """What the job is by these two events of it: the greater one.

    DONE is final and wins over all; else the higher version; at the same version DONE over FAILED, then the earlier
    time, then the smaller worker (nobody is the smallest). This is a total order, so `merge` is a join: commutative,
    associative and idempotent.
    """
    if (ending := _ending(one)) != (other_ending := _ending(other)):
        return one if ending > other_ending else other
    return one if _place(one) <= _place(other) else other


def _ending(event: JobEvent) -> tuple[bool, int]:
    return event.status is JobStatus.DONE, event.version


def _place(event: JobEvent) -> tuple[Any, ...]:
    """Where the event stands among those of its version, the greatest first."""
    return (-_WEIGHT[event.status], event.at, *_text(event.worker), *_text(event.error))


def _text(text: str | None) -> tuple[bool, str]:
    return text is not None, text or ""


#: How often a job may be tried at most, by all groups of consumers together.
MAX_ATTEMPTS = 10

#: What a job of each status may become.
TRANSITIONS: dict[JobStatus, tuple[JobStatus, ...]] = {
    JobStatus.NEW: (JobStatus.RUNNING,),
    JobStatus.RUNNING: (JobStatus.DONE, JobStatus.FAILED),
    JobStatus.FAILED: (JobStatus.RUNNING,),
    JobStatus.DONE: (),
}


class Job(Struct, frozen=True, kw_only=True):
    """A job by its greatest event. Times are in seconds since the epoch.

    `at` and `worker` are of that event; `created_at` is the time of the job's first NEW, None if that is not known.
    `change` counts the changes of all jobs in a `JobView`, so that a later one has a higher number; 0 outside of it.
    """

    job_id: int
    status: JobStatus
    version: int
    at: float
    worker: str | None = None
    attempt: int = 0
    error: str | None = None
    created_at: float | None = None
    change: int = 0

    @classmethod
    def of(cls, event: JobEvent) -> Self:
        """The job by this event alone."""
        return cls(
            job_id=event.job_id,
            status=event.status,
            version=event.version,
            at=event.at,
            worker=event.worker,
            attempt=event.attempt,
            error=event.error,
            created_at=event.at if event.status is JobStatus.NEW else None,
        )

    def event(self) -> JobEvent:
        """The event that the job is known by."""
        return JobEvent(
            job_id=self.job_id,
            status=self.status,
            version=self.version,
            at=self.at,
            worker=self.worker,
            attempt=self.attempt,
            error=self.error,
        )

    def with_event(self, event: JobEvent) -> Job:
        """The job by this event too, by `merge`; the number of the change stays."""
        job, mine = self, self.event()
        if merge(mine, event) != mine:
            job = replace(Job.of(event), created_at=self.created_at, change=self.change)
        if event.status is JobStatus.NEW:
            job = replace(job, created_at=min(event.at, event.at if job.created_at is None else job.created_at))
        return job

    def reached(self, version: int) -> bool:
        """Whether the job has come to this version, or has ended by a DONE of an earlier attempt."""
        return self.version >= version or self.status is JobStatus.DONE

    def next_event(
        self,
        status: JobStatus,
        *,
        at: float,
        worker: str | None = None,
        error: str | None = None,
        attempts: int = MAX_ATTEMPTS,
    ) -> JobEvent:
        """The change to this status; raises `IllegalTransition` if the job may not become that.

        `attempts` is how often the job may be tried at most.
        """
        self._must_be_able_to_become(status, attempts)
        attempt = self.attempt + (status is JobStatus.RUNNING)
        return JobEvent(
            job_id=self.job_id,
            status=status,
            version=version_of(status, attempt),
            at=at,
            worker=worker,
            attempt=attempt,
            error=error,
        )

    def _must_be_able_to_become(self, status: JobStatus, attempts: int) -> None:
        possible = TRANSITIONS[self.status]
        what = f"Job {self.job_id} is {self.status} (version {self.version}) and cannot become {status}"
        if status not in possible:
            may = f"it may become {' or '.join(possible)}" if possible else "that is its end"
            raise IllegalTransition(f"{what}: {may}.")
        if status is JobStatus.RUNNING and self.attempt >= attempts:
            because = f" The last error: {self.error}" if self.error else ""
            tried = f"it was tried {self.attempt} times, and {attempts} are all it has"
            raise IllegalTransition(f"{what}: {tried}.{because}")
