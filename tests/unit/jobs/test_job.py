"""What a job may become."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from functools import reduce
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import BadRecord, IllegalTransition
from labkit.jobs import MAX_ATTEMPTS, Job, JobEvent, JobStatus, merge
from labkit.jobs.job import TIMES, TRANSITIONS, version_of
from labkit.taskqueue import new_task
from labkit.taskqueue.transport.contract import Record
from tests.unit.jobs.drawn import UNKEEPABLE, events

NEW = Job(job_id=1234, status=JobStatus.NEW, version=1, at=1.0, created_at=1.0)


def walk(*statuses: JobStatus) -> Job:
    job = NEW
    for status in statuses:
        job = job.with_event(job.next_event(status, at=job.at + 1, worker="w"))
    return job


def test_a_life():
    job = walk(JobStatus.RUNNING, JobStatus.FAILED, JobStatus.RUNNING, JobStatus.DONE)
    assert (job.status, job.version, job.attempt, job.at, job.created_at) == (JobStatus.DONE, 5, 2, 5.0, 1.0)


@pytest.mark.parametrize(
    ("job", "status"),
    [
        (job, status)
        for job in (
            NEW,
            walk(JobStatus.RUNNING),
            walk(JobStatus.RUNNING, JobStatus.DONE),
            walk(JobStatus.RUNNING, JobStatus.FAILED),
        )
        for status in JobStatus
        if status not in TRANSITIONS[job.status]
    ],
)
def test_everything_else_is_refused_and_said(job, status):
    with pytest.raises(IllegalTransition, match=f"Job 1234 is {job.status} .* cannot become {status}"):
        job.next_event(status, at=2.0)


def test_the_message_says_what_may_be():
    with pytest.raises(IllegalTransition, match="it may become DONE or FAILED"):
        walk(JobStatus.RUNNING).next_event(JobStatus.NEW, at=2.0)
    with pytest.raises(IllegalTransition, match="that is its end"):
        walk(JobStatus.RUNNING, JobStatus.DONE).next_event(JobStatus.RUNNING, at=2.0)


def test_attempts_end():
    job = walk(*[JobStatus.RUNNING, JobStatus.FAILED] * MAX_ATTEMPTS)
    with pytest.raises(IllegalTransition, match=f"tried {MAX_ATTEMPTS} times"):
        job.next_event(JobStatus.RUNNING, at=2.0)
    with pytest.raises(IllegalTransition, match="tried 1 times, and 1 are all"):
        walk(JobStatus.RUNNING, JobStatus.FAILED).next_event(JobStatus.RUNNING, at=2.0, attempts=1)


@given(st.lists(events(), min_size=1))
def test_a_job_is_its_greatest_event_and_knows_its_first_new(drawn: list[JobEvent]):
    job = reduce(Job.with_event, drawn[1:], Job.of(drawn[0]))
    assert job.event() == reduce(merge, drawn)
    assert job.created_at == min((event.at for event in drawn if event.status is JobStatus.NEW), default=None)


@given(st.lists(events(), min_size=2))
def test_a_job_never_goes_back(drawn: list[JobEvent]):
    jobs = [Job.of(drawn[0])]
    for event in drawn[1:]:
        jobs.append(jobs[-1].with_event(event))
    for before, after in pairwise(jobs):
        assert after.reached(before.version)
        assert before.status is not JobStatus.DONE or after.status is JobStatus.DONE


def record(task) -> Record:
    key, value, headers = task.encode()
    return Record("job-status", 0, 7, key, value, headers, 0)


def an_event(status=JobStatus.RUNNING, attempt=1, **fields) -> JobEvent:
    return JobEvent(
        **{"job_id": 1234, "status": status, "version": version_of(status, attempt), "at": 5.0} | fields,
        attempt=attempt,
    )


@given(events(), events(), events())
def test_merge_is_a_join(one, two, three):
    assert merge(one, one) == one
    assert merge(one, two) == merge(two, one)
    assert merge(merge(one, two), three) == merge(one, merge(two, three))
    assert merge(one, two) in (one, two)


@given(events(), events())
def test_done_is_final_and_else_versions_only_grow(one, two):
    winner = merge(one, two)
    if JobStatus.DONE in (one.status, two.status):
        assert winner.status is JobStatus.DONE
    else:
        assert winner.version == max(one.version, two.version)


def test_ties():
    done, failed = an_event(JobStatus.DONE, at=9.0), an_event(JobStatus.FAILED, at=1.0, error="no")
    assert merge(done, failed) is done
    assert merge(an_event(at=1.0, worker="b"), an_event(at=2.0, worker="a")).worker == "b"
    assert merge(an_event(worker="b"), an_event(worker="a")).worker == "a"
    assert merge(an_event(worker="a"), an_event(worker=None)).worker is None


def test_versions_count_the_changes():
    assert [version_of(*change) for change in [(JobStatus.NEW, 0), (JobStatus.RUNNING, 1), (JobStatus.FAILED, 1)]] == [
        1,
        2,
        3,
    ]
    assert [version_of(*change) for change in [(JobStatus.RUNNING, 2), (JobStatus.DONE, 2)]] == [4, 5]


@pytest.mark.parametrize("change", [(JobStatus.NEW, 1), (JobStatus.DONE, 0), (JobStatus.RUNNING, -1)])
def test_an_attempt_that_cannot_be(change):
    with pytest.raises(ValueError, match="attempt"):
        version_of(*change)


def test_a_version_that_does_not_go_with_the_status():
    with pytest.raises(ValueError, match="version 3"):
        an_event(version=3)
    with pytest.raises(ValueError, match="not a time"):
        an_event(at=math.nan)


@given(events(jobs=3))
def test_an_event_comes_back_as_it_was(event):
    task = event.to_task()
    assert JobEvent.of(record(task)) == event
    assert JobEvent.of_task(task) == event
    assert task.key == str(event.job_id)


@pytest.mark.parametrize("changes", UNKEEPABLE, ids=repr)
def test_what_nobody_could_keep_or_show_is_no_event(changes):
    task = an_event().to_task()
    task = task.evolve(payload=task.payload | changes)
    with pytest.raises(BadRecord, match="job-status, partition 0, offset 7"):
        JobEvent.of(record(task))
    with pytest.raises(BadRecord, match=task.id):
        JobEvent.of_task(task)


@pytest.mark.parametrize("at", TIMES)
def test_every_time_of_an_event_can_be_shown(at):
    event = an_event(at=at)
    for hours in (-14, 14):
        assert datetime.fromtimestamp(event.at, UTC).astimezone(timezone(timedelta(hours=hours))).timestamp() == at


def test_the_same_event_is_the_same_task():
    assert an_event().to_task().id == an_event().to_task().id
    assert an_event().to_task().id != an_event(worker="b").to_task().id


def test_what_is_no_event():
    task = an_event().to_task()
    wrong = [
        task.evolve(kind="message"),
        task.evolve(key="99"),
        task.evolve(payload=task.payload | {"version": 9}),
        task.evolve(payload=task.payload | {"job_id": 0}),
        task.evolve(payload=task.payload | {"status": "ASLEEP"}),
        new_task("process_file", "hello"),
    ]
    for one in wrong:
        with pytest.raises(BadRecord, match="job-status, partition 0, offset 7"):
            JobEvent.of(record(one))
        with pytest.raises(BadRecord, match=one.id):
            JobEvent.of_task(one)
    with pytest.raises(BadRecord):
        JobEvent.of(Record("job-status", 0, 7, b"1", None, (), 0))
