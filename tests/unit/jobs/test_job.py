"""What a job may become."""

from functools import reduce
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import IllegalTransition
from labkit.jobs import MAX_ATTEMPTS, Job, JobEvent, Status, merge
from labkit.jobs.job import TRANSITIONS
from tests.unit.jobs.drawn import events

NEW = Job(job_id=1234, status=Status.NEW, version=1, at=1.0, created_at=1.0)


def walk(*statuses: Status) -> Job:
    job = NEW
    for status in statuses:
        job = job.with_event(job.next_event(status, at=job.at + 1, worker="w"))
    return job


def test_a_life():
    job = walk(Status.RUNNING, Status.FAILED, Status.RUNNING, Status.DONE)
    assert (job.status, job.version, job.attempt, job.at, job.created_at) == (Status.DONE, 5, 2, 5.0, 1.0)


@pytest.mark.parametrize(
    ("job", "status"),
    [
        (job, status)
        for job in (NEW, walk(Status.RUNNING), walk(Status.RUNNING, Status.DONE), walk(Status.RUNNING, Status.FAILED))
        for status in Status
        if status not in TRANSITIONS[job.status]
    ],
)
def test_everything_else_is_refused_and_said(job, status):
    with pytest.raises(IllegalTransition, match=f"Job 1234 is {job.status} .* cannot become {status}"):
        job.next_event(status, at=2.0)


def test_the_message_says_what_may_be():
    with pytest.raises(IllegalTransition, match="it may become DONE or FAILED"):
        walk(Status.RUNNING).next_event(Status.NEW, at=2.0)
    with pytest.raises(IllegalTransition, match="that is its end"):
        walk(Status.RUNNING, Status.DONE).next_event(Status.RUNNING, at=2.0)


def test_attempts_end():
    job = walk(*[Status.RUNNING, Status.FAILED] * MAX_ATTEMPTS)
    with pytest.raises(IllegalTransition, match=f"tried {MAX_ATTEMPTS} times"):
        job.next_event(Status.RUNNING, at=2.0)
    with pytest.raises(IllegalTransition, match="tried 1 times, and 1 are all"):
        walk(Status.RUNNING, Status.FAILED).next_event(Status.RUNNING, at=2.0, attempts=1)


@given(st.lists(events(), min_size=1))
def test_a_job_is_its_greatest_event_and_knows_its_first_new(drawn: list[JobEvent]):
    job = reduce(Job.with_event, drawn[1:], Job.of(drawn[0]))
    assert job.event() == reduce(merge, drawn)
    assert job.created_at == min((event.at for event in drawn if event.status is Status.NEW), default=None)


@given(st.lists(events(), min_size=2))
def test_a_job_never_goes_back(drawn: list[JobEvent]):
    jobs = [Job.of(drawn[0])]
    for event in drawn[1:]:
        jobs.append(jobs[-1].with_event(event))
    for before, after in pairwise(jobs):
        assert after.reached(before.version)
        assert before.status is not Status.DONE or after.status is Status.DONE
