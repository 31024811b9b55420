"""What a worker still holds of a topic that was made anew is no event of the new one, whatever the jobs are called."""

from __future__ import annotations

import threading

import pytest

from labkit.jobs import JobConsumer, JobEvent, Jobs, JobStatus, ProcessedLog
from labkit.taskqueue.engine.assigned_partitions import AssignedPartitions
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import read_topic
from labkit.taskqueue.worker_group.worker import Worker

TIMEOUT = 60.0


def create(topic, *job_ids):
    with Jobs(topic) as jobs:
        for job_id in job_ids:
            jobs.create(job_id)


@pytest.fixture
def may_look(monkeypatch):
    """Until it is set, no worker sees that the topic is another now, nor that its records begin again."""
    may_look, look, compare = threading.Event(), Worker._look_at_topic, AssignedPartitions.are_filled_anew

    def look_if_it_may(self, client):
        if may_look.is_set():
            look(self, client)

    monkeypatch.setattr(Worker, "_look_at_topic", look_if_it_may)
    monkeypatch.setattr(AssignedPartitions, "are_filled_anew", lambda *given: may_look.is_set() and compare(*given))
    return may_look


@pytest.fixture
def handled(monkeypatch):
    """The jobs whose events have come out of the consumer's hands."""
    handled, process = [], JobConsumer._process

    def tell(self, event, *more):
        try:
            process(self, event, *more)
        finally:
            handled.append(event.job_id)

    monkeypatch.setattr(JobConsumer, "_process", tell)
    return handled


def test_an_event_of_the_old_topic_is_not_worked_on_as_one_of_the_new(topics, topic, view, tmp_path, may_look, handled):
    worked, begun, go_on = [], threading.Event(), threading.Event()

    def work(job):
        worked.append(job.job_id)
        begun.set()
        assert go_on.wait(TIMEOUT)

    create(topic, 1, 7)
    view.follow()
    log = ProcessedLog(tmp_path / "processed_jobs.log", "g")
    with JobConsumer(topic, group="g", log=log, view=view, work=work) as group:
        assert begun.wait(TIMEOUT)  # the other one waits for its turn
        first, second = worked[0], 8 - worked[0]
        topics.recreate(topic.name, partitions=2)
        create(topic, second)
        go_on.set()
        wait_until(lambda: second in handled, timeout=TIMEOUT, what="the old event was to have its turn")
        assert worked == [first]
        events = [JobEvent.of(record) for record in read_topic(topic.transport, topic.full_name)]
        assert [(event.job_id, event.status) for event in events] == [(second, JobStatus.NEW)]
        may_look.set()
        wait_until(lambda: group.processed == 1, timeout=TIMEOUT, what="the new job was to be done")
        group.run(timeout=0.2)
    view.catch_up()
    assert worked == [first, second]
    assert [job.job_id for job in log.read()] == [second]
    assert (view.get(second).status, view.get(first)) == (JobStatus.DONE, None)
