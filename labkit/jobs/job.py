"""A job as far as it is known, and what may become of it."""

from __future__ import annotations

from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from labkit.errors import IllegalTransition
from labkit.jobs.event import JobEvent, Status, merge, version_of

#: How often a job may be tried at most.
MAX_ATTEMPTS = 10

#: What a job of each status may become.
TRANSITIONS: dict[Status, tuple[Status, ...]] = {
    Status.NEW: (Status.RUNNING,),
    Status.RUNNING: (Status.DONE, Status.FAILED),
    Status.FAILED: (Status.RUNNING,),
    Status.DONE: (),
}


class Job(Struct, frozen=True, kw_only=True):
    """A job by its greatest event. Times are in seconds since the epoch.

    `at` and `worker` are of that event; `created_at` is the time of the job's first NEW, None if that is not known.
    `change` counts the changes of all jobs in a `JobView`, so that a later one has a higher number; 0 outside of it.
    """

    job_id: int
    status: Status
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
            created_at=event.at if event.status is Status.NEW else None,
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
        if event.status is Status.NEW:
            job = replace(job, created_at=min(event.at, event.at if job.created_at is None else job.created_at))
        return job

    def reached(self, version: int) -> bool:
        """Whether the job has come to this version, or has ended by a DONE of an earlier attempt."""
        return self.version >= version or self.status is Status.DONE

    def next_event(
        self,
        status: Status,
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
        attempt = self.attempt + (status is Status.RUNNING)
        return JobEvent(
            job_id=self.job_id,
            status=status,
            version=version_of(status, attempt),
            at=at,
            worker=worker,
            attempt=attempt,
            error=error,
        )

    def _must_be_able_to_become(self, status: Status, attempts: int) -> None:
        possible = TRANSITIONS[self.status]
        what = f"Job {self.job_id} is {self.status} (version {self.version}) and cannot become {status}"
        if status not in possible:
            may = f"it may become {' or '.join(possible)}" if possible else "that is its end"
            raise IllegalTransition(f"{what}: {may}.")
        if status is Status.RUNNING and self.attempt >= attempts:
            raise IllegalTransition(f"{what}: it was tried {self.attempt} times, and {attempts} are all it has.")
