"""A job in work, as far as it has come: whatever was done of it is not done again when it had to wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from labkit.jobs.job import Job
from labkit.taskqueue.engine.failure import is_no_attempt
from labkit.taskqueue.engine.outcome import outcome_of

#: How many jobs that had to wait are kept: those of a partition that has gone elsewhere may never come back.
MOST_RUNS = 10_000

#: What is done for a job, which is RUNNING then; an error that it raises makes the job FAILED.
JobWork = Callable[[Job], object]


@dataclass(slots=True)
class JobRun:
    """A job in work, as far as it has come; held by `lock`, since two workers may have the same one.

    `key` is the id of its topic and its own. `job` is the job as it was begun, and `told` as it ended, once Kafka has
    it.
    """

    key: tuple[str, int]
    job: Job
    lock: threading.Lock = field(default_factory=threading.Lock)
    begun: bool = False
    started_at: float = 0.0
    #: that moment by a clock that is never set
    begun_at: float = 0.0
    finished_at: float | None = None
    error: BaseException | None = None
    told: Job | None = None

    def work(self, work: JobWork, measure: Callable[[], float]) -> float:
        """Do it, unless that was done; when it was finished, if the clock was not set since it was begun."""
        if self.finished_at is None:
            error = outcome_of(work, self.job)
            if error is not None and is_no_attempt(error):  # as that of an `@once` within, while Redis is away
                raise error
            self.error, self.finished_at = error, self.started_at + (measure() - self.begun_at)
        return self.finished_at


class JobRuns:
    """The jobs of one consumer that are in work, and those that were begun and have to wait. Safe to use from several
    threads.
    """

    def __init__(self) -> None:
        self._runs: dict[tuple[str, int], JobRun] = {}

    def __len__(self) -> int:
        return len(self._runs)

    @contextmanager
    def held(self, key: tuple[str, int], job: Job) -> Iterator[JobRun | None]:
        """Inside, the job is kept from others; None if another thread has it, or had it a moment ago."""
        run = self._runs.setdefault(key, JobRun(key, job))
        if not run.lock.acquire(blocking=False):
            yield None
            return
        try:
            yield run if self._runs.get(key) is run else None
        finally:
            if not run.begun:
                self.forget(run)
            run.lock.release()
            self._make_room()

    def forget(self, run: JobRun) -> None:
        """Its job is through, or nothing is known of it; to be called by who holds it."""
        if self._runs.get(run.key) is run:
            self._runs.pop(run.key, None)

    def clear(self) -> None:
        """Forget all: the topic is another."""
        self._runs.clear()

    def _make_room(self) -> None:
        """Forget the oldest that nobody holds, if there are too many; one with a result only where all have one."""
        if len(self._runs) <= MOST_RUNS:
            return
        for run in sorted(self._runs.values(), key=lambda run: run.finished_at is not None):
            if run.lock.acquire(blocking=False):
                self.forget(run)
                run.lock.release()
                return
