"""Who works on jobs: a group of workers. Each group works on every job once, and whoever is first moves the status."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Self

from labkit.errors import BrokerUnreachable, SettingsError
from labkit.jobs.job import MAX_ATTEMPTS, Job, JobEvent, JobStatus
from labkit.jobs.processed_log import ProcessedJob, ProcessedLog
from labkit.jobs.view import JobView
from labkit.jobs.writer import Jobs
from labkit.resource import Resource
from labkit.settings import Settings
from labkit.taskqueue.engine.failure import describe
from labkit.taskqueue.engine.outcome import check_handler, is_asynchronous, outcome_of
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.group import WorkerGroup
from labkit.taskqueue.service_time import ServiceTime
from labkit.taskqueue.task import Task
from labkit.taskqueue.topics import Topic

if TYPE_CHECKING:
    import pandas as pd

#: How often to look whether there is nothing to do, in seconds.
LOOK_INTERVAL = 0.1

#: What is done for a job, which is RUNNING then; an error that it raises makes the job FAILED.
JobWork = Callable[[Job], object]


def mock_work(
    service: ServiceTime, *, seed: int = 0, failing: float = 0.0, sleep: Callable[[float], object] = time.sleep
) -> JobWork:
    """Work that only takes its time: drawn, as whether an attempt fails, from the seed and the job's id.

    `failing` is the share of the attempts that fail.
    """

    def work(job: Job) -> None:
        sleep(service.draw(str(job.job_id), seed))
        if random.Random(f"{seed}:{job.job_id}:{job.attempt}").random() < failing:
            raise RuntimeError(f"attempt {job.attempt} was to fail")

    return work


class JobConsumer(Resource):
    """Works on the NEW jobs of a topic, as a group of workers. A context manager: joined inside, left after.

    A job goes to RUNNING, and by the end of `work` to DONE, or to FAILED and, as often as `retry` says, to RUNNING
    again. A job that stays FAILED leaves a dead letter. A processed job gets a line in the `log`, which no job of the
    group has twice. Workers of other processes may join the group by its name.

    Of several groups each works on every job, whatever the others have made of it; what one of them has changed
    already, the others leave. They see it in the `view`, and what they do not see in time loses by `merge`.
    """

    def __init__(
        self,
        topic: Topic,
        *,
        group: str,
        log: ProcessedLog,
        view: JobView,
        work: JobWork,
        name: str = "consumer",
        workers: int = 1,
        concurrency: int = 1,
        retry: Retry | None = None,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
        measure: Callable[[], float] = time.monotonic,
    ) -> None:
        check_handler(work)
        if is_asynchronous(work):
            raise SettingsError("The work on a job is a function, not an `async def`: jobs are worked on in threads.")
        self.name = name
        self._log = log
        self._view = view
        self._work = work
        self._clock = clock
        self._measure = measure
        self._jobs = Jobs(topic, settings=settings, clock=clock)
        self._group = WorkerGroup(
            topic,
            group=group,
            workers=workers,
            handler=self._handle,
            name=name,
            order="key",
            concurrency=concurrency,
            retry=retry,
            settings=settings,
            clock=clock,
        )
        #: jobs that failed here, since the view may not know it yet when they are tried again
        self._failed: dict[int, Job] = {}
        self._stack = ExitStack()
        self._counting = threading.Lock()
        self._busy = 0
        self._idle_since = measure()
        self.processed = 0

    def run(self, *, timeout: float | None, stop: threading.Event | None = None) -> None:
        """Work until there was nothing to do for `timeout` seconds (None: for ever), or until `stop` is set.

        There is something to do while a job is worked on here, or the group has not finished what is on the topic; and
        while Kafka is away, nobody knows. Raises `WorkerFailed`.
        """
        stop = stop or threading.Event()
        while not stop.wait(LOOK_INTERVAL):
            self._group.check()
            if timeout is not None and self.idle_for() >= timeout and self._nothing_is_left():
                return

    def idle_for(self) -> float:
        """For how many seconds no job was worked on here."""
        with self._counting:
            return 0.0 if self._busy else self._measure() - self._idle_since

    def records(self) -> pd.DataFrame:
        """One row per attempt on an event, as of any worker group; events that are not NEW are passed over."""
        return self._group.records()

    def start(self) -> Self:
        """Join the group."""
        self._stack.callback(self._jobs.close)
        self._stack.enter_context(self._group)
        return self

    def close(self) -> None:
        """Leave the group."""
        self._stack.close()

    def _nothing_is_left(self) -> bool:
        try:
            return all(partition.lag == 0 for partition in self._group.lag())
        except BrokerUnreachable:
            return False

    def _handle(self, task: Task) -> None:
        event = JobEvent.of_task(task)
        if event.status is JobStatus.NEW and event.job_id not in self._log:
            with self._at_work():
                self._process(event)

    def _process(self, event: JobEvent) -> None:
        started_at = self._clock()
        job = self._begin(self._known(event))
        error = outcome_of(self._work, job)
        if error is not None:
            self._failed[job.job_id] = self._end(job, JobStatus.FAILED, error=describe(error))
            raise error
        self._end(job, JobStatus.DONE)
        self._failed.pop(job.job_id, None)
        line = ProcessedJob(
            job_id=job.job_id,
            group=self._log.group,
            worker=self.name,
            attempt=job.attempt,
            started_at=started_at,
            finished_at=self._clock(),
        )
        if self._log.append(line):
            with self._counting:
                self.processed += 1

    def _known(self, event: JobEvent) -> Job:
        """The job by this event and all that is known of it."""
        job = Job.of(event)
        for other in (self._view.get(event.job_id), self._failed.get(event.job_id)):
            if other is not None:
                job = job.with_event(other.event())
        return job

    def _begin(self, job: Job) -> Job:
        """The job as RUNNING; as it is if it is that already, is DONE, or was tried too often."""
        may_run = job.status is JobStatus.NEW or (job.status is JobStatus.FAILED and job.attempt < MAX_ATTEMPTS)
        return self._jobs.change(job, JobStatus.RUNNING, worker=self.name) if may_run else job

    def _end(self, job: Job, status: JobStatus, *, error: str | None = None) -> Job:
        """The job as DONE or FAILED, by the attempt that was begun; as it is if another group has finished it."""
        known = self._known(job.event())
        if job.status is not JobStatus.RUNNING or known.status is JobStatus.DONE:
            return known
        return self._jobs.change(job, status, worker=self.name, error=error)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with self._counting:
            self._busy += 1
        try:
            yield
        finally:
            with self._counting:
                self._busy -= 1
                self._idle_since = self._measure()
