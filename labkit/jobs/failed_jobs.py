"""Jobs that failed in a consumer and may be tried again before its view has read of it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from labkit.jobs.job import Job
from labkit.jobs.view import JobView

#: How long to leave a job alone before the view is asked whether it knows it, in seconds.
ASK_INTERVAL = 0.1


class FailedJobs:
    """What a consumer knows of jobs that failed in it, until the view knows it. Safe to use from several threads.

    A key is the id of a job's topic and the job's own. `measure` gives seconds.
    """

    def __init__(self, view: JobView, measure: Callable[[], float]) -> None:
        self._view = view
        self._measure = measure
        self._lock = threading.Lock()
        #: each with the time from which on the view may be asked, the earliest first
        self._jobs: dict[tuple[str, int], tuple[Job, float]] = {}

    def __len__(self) -> int:
        with self._lock:
            return len(self._jobs)

    def get(self, key: tuple[str, int]) -> Job | None:
        """The job as it failed here; None if that is not known, or if the view knows it."""
        with self._lock:
            kept = self._jobs.get(key)
        return None if kept is None else kept[0]

    def keep(self, key: tuple[str, int], job: Job) -> None:
        """Know that it failed."""
        with self._lock:
            self._put_last(key, job)

    def forget(self, key: tuple[str, int]) -> None:
        """It is through, or was never kept."""
        with self._lock:
            self._jobs.pop(key, None)

    def clear(self) -> None:
        """Forget all: the topic is another."""
        with self._lock:
            self._jobs.clear()

    def forget_known(self) -> None:
        """Ask the view for one that was left alone for long enough, if there is any; forget it if the view knows it.

        To be called with each job that begins: no more can fail. Raises what the view raises.
        """
        if (asked := self._next()) is None:
            return
        key, failed = asked
        seen = self._view.get(key[1])
        if seen is not None and seen.reached(failed.version):
            with self._lock:
                if (kept := self._jobs.get(key)) is not None and kept[0] is failed:  # it has not failed again meanwhile
                    del self._jobs[key]

    def _next(self) -> tuple[tuple[str, int], Job] | None:
        """The job that is due; it goes to the end, so that it holds up no other and no other thread asks for it."""
        with self._lock:
            key = next(iter(self._jobs), None)
            if key is None or self._jobs[key][1] > self._measure():
                return None
            job, _ = self._jobs[key]
            self._put_last(key, job)
            return key, job

    def _put_last(self, key: tuple[str, int], job: Job) -> None:
        self._jobs.pop(key, None)
        self._jobs[key] = job, self._measure() + ASK_INTERVAL
