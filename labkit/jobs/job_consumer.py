"""Who works on jobs: a group of workers. Each group works on every job once, and whoever is first moves the status."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Self

from labkit.errors import (
    BrokerUnreachable,
    DeadlineExceeded,
    SettingsError,
    TransportError,
    TryAgainLater,
    UnknownTopic,
)
from labkit.jobs.failed_jobs import FailedJobs
from labkit.jobs.job import MAX_ATTEMPTS, Job, JobEvent, JobStatus
from labkit.jobs.job_group import JobGroup
from labkit.jobs.job_run import JobRun, JobRuns, JobWork
from labkit.jobs.processed_log import ProcessedJob, ProcessedLog
from labkit.jobs.topic_kind import TopicKind, must_hold
from labkit.jobs.view import JobView
from labkit.jobs.writer import Jobs
from labkit.outage import Outage
from labkit.resource import Resource
from labkit.settings import Settings
from labkit.taskqueue.engine.failure import describe
from labkit.taskqueue.engine.handler import topic_id_of_task
from labkit.taskqueue.engine.outcome import check_handler, is_asynchronous
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.service_time import ServiceTime
from labkit.taskqueue.task import Task
from labkit.taskqueue.topics import Topic
from labkit.taskqueue.worker_group.group_output import Output
from labkit.taskqueue.worker_group.membership import Membership

if TYPE_CHECKING:
    import pandas as pd

log_of_jobs = logging.getLogger("labkit.jobs")

#: How often to look whether there is nothing to do, in seconds.
LOOK_INTERVAL = 0.1


def mock_work(service: ServiceTime, *, failing: float = 0.0, sleep: Callable[[float], object] = time.sleep) -> JobWork:
    """Work that only takes its time: drawn, as whether an attempt fails, from the service time's seed and the job's id.

    `failing` is the share of the attempts that fail.
    """

    def work(job: Job) -> None:
        sleep(service.draw(str(job.job_id)))
        if random.Random(f"{service.seed}:{job.job_id}:{job.attempt}").random() < failing:
            raise RuntimeError(f"attempt {job.attempt} was to fail")

    return work


class _NotNow(Exception):
    """Why it is not the time for a job, though nothing is away."""


@contextmanager
def _needed(outage: Outage) -> Iterator[None]:
    """Inside, the consumer uses what is its own. Where that is away, `TryAgainLater`: the job is not at fault.

    That it is not the time for a job is no attempt either, and no outage.
    """
    try:
        with outage.asked(TryAgainLater, TransportError, DeadlineExceeded):
            yield
    except TryAgainLater:
        raise
    except (TransportError, DeadlineExceeded, _NotNow) as error:
        raise TryAgainLater(str(error)) from error


class JobConsumer(Resource, checked=True):
    """Works on the NEW jobs of a topic, as a group of workers. A context manager: joined inside, left after.

    A job goes to RUNNING, and by the end of `work` to DONE, or to FAILED and, as often as `retry` says, to RUNNING
    again. A job that stays FAILED leaves a dead letter. A processed job gets a line in the `log`, which no job of the
    group has twice; one of a topic that was made anew is another job. Workers of other processes may join the group by
    its name.

    What the consumer itself needs may be away: log, the view's store, Kafka. Then its jobs wait, which is no attempt,
    and what is done of a job is not done again.

    Of several groups each works on every job, whatever the others have made of it, as long as it has attempts left:
    those of all groups count together, since nothing tells whose they were. What one group has changed already, the
    others leave. They see it in the `view`, and what they do not see in time loses by `merge`.
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
        if retry is not None and retry.attempts > MAX_ATTEMPTS:
            raise SettingsError(
                f"A job has {MAX_ATTEMPTS} attempts in all, so it cannot be tried {retry.attempts} times."
            )
        self.name = name
        self._log = log
        self._view = view
        self._work = work
        self._clock, self._measure = clock, measure
        self._jobs = Jobs(topic, settings=settings, clock=clock)
        self._group = JobGroup(
            topic,
            group=group,
            workers=workers,
            handler=self._handle,
            membership=Membership(name=name),
            order="key",
            concurrency=concurrency,
            retry=retry,
            output=Output(clock=clock),
            settings=settings,
        )
        self._stack = ExitStack()
        #: of which topic the next two are; their keys are its id and the job's
        self._knows_of: str | None = None
        self._runs = JobRuns()
        self._failed = FailedJobs(view, measure)
        # one for each, since what can be read cannot always be written
        before, after = "its log, its view or the topic", "its log or the topic"
        self._before = Outage(log_of_jobs, name, before, meanwhile="its jobs wait, which is no attempt")
        self._after = Outage(log_of_jobs, name, after, meanwhile="jobs that it has worked on wait to be noted")
        self._counting = threading.Lock()
        self._busy, self._idle_since = 0, measure()
        self.processed = 0
        #: gives how many attempts had which outcome, and how many workers have made them
        self.outcomes = self._group.outcomes

    def run(self, *, timeout: float | None, stop: threading.Event | None = None) -> None:
        """Work until there was nothing to do for `timeout` seconds (None: for ever), or until `stop` is set.

        There is something to do while a job is worked on here, or the group has not finished what is on the topic; and
        while Kafka is away or the topic is gone, nobody knows. Raises `WorkerFailed`.
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
        """Join the group. Raises `OtherTopicKind`, and takes nothing, if the topic holds something else than jobs."""
        must_hold(self._jobs.topic, TopicKind.JOBS)
        self._stack.callback(self._jobs.close)
        self._stack.enter_context(self._group)
        return self

    def close(self) -> None:
        """Leave the group."""
        self._stack.close()

    def _nothing_is_left(self) -> bool:
        try:
            return all(partition.lag == 0 for partition in self._group.lag())
        except (BrokerUnreachable, UnknownTopic):  # the workers wait until it is back, or made anew
            return False

    def _handle(self, task: Task) -> None:
        event = JobEvent.of_task(task)
        if event.status is JobStatus.NEW:
            with self._at_work():
                self._process(event, topic_id_of_task())

    def _process(self, event: JobEvent, topic_id: str) -> None:
        """Work on this topic's job, or go on where it had to wait for something; raises what the work has raised."""
        with ExitStack() as held:
            with _needed(self._before):
                run = self._begun((topic_id, event.job_id), event, held)
            if run is not None:
                self._finish(run, run.work(self._work, self._measure))

    def _begun(self, key: tuple[str, int], event: JobEvent, held: ExitStack) -> JobRun | None:
        """The job in work, which `held` keeps from others; None if the group has processed it.

        Raises `IllegalTransition` if it was tried too often, since nobody could be told what became of it; `_NotNow` if
        another thread has it, as one that a worker gave up when it lost the partition.
        """
        self._must_be_topic(key[0])
        run = held.enter_context(self._runs.held(key, Job.of(event)))
        if run is None:
            raise _NotNow(f"job {event.job_id} is still at work elsewhere in this consumer")
        if self._log.has(*key):
            self._runs.forget(run)
            return None
        if not run.begun:
            self._failed.forget_known()
            run.started_at, run.begun_at = self._clock(), self._measure()
            run.job = self._begin(self._known(run.job, key))
            run.begun = True
        return run

    def _finish(self, run: JobRun, finished_at: float) -> None:
        with _needed(self._after):
            run.told = run.told or self._end(run)
            if run.error is None:
                self._note(run, finished_at)
        self._runs.forget(run)
        if run.error is not None:
            self._failed.keep(run.key, run.told)
            raise run.error
        self._failed.forget(run.key)

    def _must_be_topic(self, event_of: str) -> None:
        """Raise `_NotNow` if the topic is another now than the one with this id, whose events nobody is to work on.

        Jobs of one that was made anew are others. The worker drops what it holds of the old one as soon as it sees it.
        """
        topic_id = self._view.topic_id()
        if topic_id != self._knows_of:
            self._knows_of = topic_id
            self._runs.clear()
            self._failed.clear()
        if topic_id != event_of:
            raise _NotNow("the topic of this event was made anew, or is about to be seen so")

    def _note(self, run: JobRun, finished_at: float) -> None:
        topic_id, job_id = run.key
        line = ProcessedJob(
            job_id=job_id,
            topic_id=topic_id,
            group=self._log.group,
            worker=self.name,
            attempt=run.job.attempt,
            started_at=run.started_at,
            finished_at=finished_at,
        )
        if self._log.append(line):
            with self._counting:
                self.processed += 1

    def _known(self, job: Job, key: tuple[str, int]) -> Job:
        """The job with all that is known of it."""
        for other in (self._view.get(job.job_id), self._failed.get(key)):
            if other is not None:
                job = job.with_event(other.event())
        return job

    def _begin(self, job: Job) -> Job:
        """The job as RUNNING; as it is if it is that already, or is DONE. Raises `IllegalTransition`."""
        if job.status in (JobStatus.RUNNING, JobStatus.DONE):
            return job
        return self._jobs.change(job, JobStatus.RUNNING, worker=self.name)

    def _end(self, run: JobRun) -> Job:
        """The job as DONE or FAILED, by the attempt that was begun; as it is if another group has finished it."""
        self._must_be_topic(run.key[0])
        job, status = run.job, JobStatus.DONE if run.error is None else JobStatus.FAILED
        known = self._known(job, run.key)
        if job.status is not JobStatus.RUNNING or known.status is JobStatus.DONE:
            return known
        error = None if run.error is None else describe(run.error)
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
