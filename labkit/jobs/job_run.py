"""A job in work, as far as it has come: whatever was done of it is not done again when it had to wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from labkit.jobs.job import Job
from labkit.taskqueue.engine.failure import is_no_attempt
from labkit.taskqueue.engine.outcome import outcome_of

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
    finished_at: float | None = None
    error: BaseException | None = None
    told: Job | None = None

    def work(self, work: JobWork, clock: Callable[[], float]) -> float:
        """Do it, unless that was done; when it was finished."""
        if self.finished_at is None:
            error = outcome_of(work, self.job)
            if error is not None and is_no_attempt(error):  # as that of an `@once` within, while Redis is away
                raise error
            self.error, self.finished_at = error, clock()
        return self.finished_at
