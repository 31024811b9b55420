"""Events, how they stand on the topic, and which of two counts."""

import math

import pytest
from hypothesis import given

from labkit.errors import BadRecord
from labkit.jobs import JobEvent, Status, merge
from labkit.jobs.event import version_of
from labkit.taskqueue import new_task
from labkit.taskqueue.transport.contract import Record
from tests.unit.jobs.drawn import events


def record(task) -> Record:
    key, value, headers = task.encode()
    return Record("job-status", 0, 7, key, value, headers, 0)


def an_event(status=Status.RUNNING, attempt=1, **fields) -> JobEvent:
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
    if Status.DONE in (one.status, two.status):
        assert winner.status is Status.DONE
    else:
        assert winner.version == max(one.version, two.version)


def test_ties():
    done, failed = an_event(Status.DONE, at=9.0), an_event(Status.FAILED, at=1.0, error="no")
    assert merge(done, failed) is done
    assert merge(an_event(at=1.0, worker="b"), an_event(at=2.0, worker="a")).worker == "b"
    assert merge(an_event(worker="b"), an_event(worker="a")).worker == "a"
    assert merge(an_event(worker="a"), an_event(worker=None)).worker is None


def test_versions_count_the_changes():
    assert [version_of(*change) for change in [(Status.NEW, 0), (Status.RUNNING, 1), (Status.FAILED, 1)]] == [1, 2, 3]
    assert [version_of(*change) for change in [(Status.RUNNING, 2), (Status.DONE, 2)]] == [4, 5]


@pytest.mark.parametrize("change", [(Status.NEW, 1), (Status.DONE, 0), (Status.RUNNING, -1)])
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
