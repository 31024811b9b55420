"""Events of jobs, as the grader writes them: JSON with the job's id, its status and its version, and the id as key."""

from __future__ import annotations

import json
from random import Random

from labkit.grading.behaviour.acknowledged_record import NewRecord
from labkit.taskqueue.partitioners import key_hash

NEW, RUNNING, DONE = "NEW", "RUNNING", "DONE"
#: The version of each status, as in `labkit.jobs` for the first attempt.
VERSIONS = {NEW: 1, RUNNING: 2, DONE: 3}

_home = key_hash()


def home_of(job: str, partitions: int) -> int:
    """The partition of its events where the topic has so many."""
    return _home(job.encode(), partitions)


def job_event(job: str, status: str, *, partitions: int, task: str | None = None) -> NewRecord:
    """The record of an event; the task that it stands for is the job, unless it is said."""
    value = {"job_id": job, "status": status, "version": VERSIONS[status]}
    return NewRecord(task or job, home_of(job, partitions), json.dumps(value).encode(), job.encode())


class JobDraw:
    """Draws the ids of jobs, as texts; none of them twice."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._drawn: set[str] = set()

    def on(self, partition: int, *, partitions: int) -> str:
        """One whose events belong on this partition where there are so many."""
        while True:
            job = str(self._rng.randrange(100_000, 1_000_000))
            if job not in self._drawn and home_of(job, partitions) == partition:
                self._drawn.add(job)
                return job

    def new(self, count: int, *, partitions: int) -> list[NewRecord]:
        """So many events NEW, to each partition in turn."""
        jobs = (self.on(number % partitions, partitions=partitions) for number in range(count))
        return [job_event(job, NEW, partitions=partitions) for job in jobs]
