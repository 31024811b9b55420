"""Writing the changes of jobs: a change counts when Kafka has acknowledged it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from labkit.errors import BadJobId, UnknownTopic
from labkit.jobs.job import JOB_STATUS, MAX_ATTEMPTS, MAX_JOB_ID, Job, JobEvent, JobStatus
from labkit.jobs.topic_kind import TopicKind, must_hold
from labkit.parameters import checked
from labkit.resource import Resource
from labkit.settings import Settings
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.topics import Topic, Topics

#: How the topic is kept: the last event of every job is enough, since the view has added up the others.
CONFIG = {"cleanup.policy": "compact"}


@checked
def jobs_topic(topics: Topics, *, name: str = JOB_STATUS, partitions: int = 1) -> Topic:
    """The topic of the jobs as it is, with however many partitions; made if there is none.

    Raises `OtherTopicKind` if it holds something else than jobs.
    """
    try:
        return known_jobs_topic(topics, name)
    except UnknownTopic:
        return topics.create(name, partitions=partitions, config=CONFIG)


def known_jobs_topic(topics: Topics, name: str) -> Topic:
    """The topic of the jobs, which is there; raises `UnknownTopic`, and `OtherTopicKind` as `jobs_topic`."""
    try:
        topic = topics.get(name)
    except UnknownTopic as error:
        raise UnknownTopic(f"There is no topic {name!r} yet. `labkit jobs produce` makes it.") from error
    must_hold(topic, TopicKind.JOBS)
    return topic


def new_job_id(rng: random.Random | None = None) -> int:
    """An id for a job, drawn from 2**53 numbers.

    Nobody is asked, so any process may draw. Among a million jobs two have the same id with a probability of 0.00006.
    """
    return (rng or random.SystemRandom()).randint(1, MAX_JOB_ID)


def new_job(job_id: int | None = None, *, clock: Callable[[], float] = time.time) -> JobEvent:
    """The first event of a job; its id is drawn if none is given. Raises `BadJobId`."""
    number = new_job_id() if job_id is None else job_id
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MAX_JOB_ID:
        raise BadJobId(f"{number!r} is no id of a job; it is a whole number from 1 to {MAX_JOB_ID}.")
    return JobEvent(job_id=number, status=JobStatus.NEW, version=1, at=clock())


class Jobs(Resource, checked=True, unchecked=("create",)):
    """Creates and changes jobs. A context manager; may be used from several threads.

    It knows nothing of a job but what is handed in, and asks nobody: when two change a job at once, both events stand
    on the topic, and everybody who reads them comes to the same job by `merge`.
    `attempts` is how often a job may be tried; `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        topic: Topic,
        *,
        attempts: int = MAX_ATTEMPTS,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.topic = topic
        self._attempts = attempts
        self._clock = clock
        self._producer = Producer(topic, on_receipt=lambda receipt: None, settings=settings, clock=clock)

    def create(self, job_id: int | None = None) -> Job:
        """A new job, on the topic. To create one of the same id again changes nothing of it.

        Raises `BadJobId`, `NotAcknowledged`, and `DeadlineExceeded` if the broker is away for too long.
        """
        return self.write(new_job(job_id, clock=self._clock))

    def change(self, job: Job, status: JobStatus, *, worker: str | None = None, error: str | None = None) -> Job:
        """The job after this change, which is on the topic; `error` says why it has failed.

        Raises `IllegalTransition` if the job cannot become that, and what `create` raises.
        """
        event = job.next_event(status, at=self._clock(), worker=worker, error=error, attempts=self._attempts)
        self.write(event)
        return job.with_event(event)

    def write(self, event: JobEvent) -> Job:
        """Put this event on the topic, as it is; the job by it alone."""
        self._producer.send(event.to_task())
        return Job.of(event)

    def close(self) -> None:
        """Let go of the connection."""
        self._producer.close()
