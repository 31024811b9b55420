"""Creating and changing jobs."""

import random
import subprocess
import sys

import pytest

from labkit.errors import BadJobId, IllegalTransition
from labkit.jobs import MAX_JOB_ID, JobEvent, Jobs, JobStatus, jobs_topic
from labkit.jobs.writer import new_job_id
from labkit.taskqueue.topics import read_topic


def test_what_is_written_is_acknowledged_and_there(topic):
    with Jobs(topic) as jobs:
        job = jobs.create(1234)
        job = jobs.change(job, JobStatus.RUNNING, worker="w")
        job = jobs.change(job, JobStatus.FAILED, worker="w", error="no")
        job = jobs.change(job, JobStatus.RUNNING, worker="w")
        job = jobs.change(job, JobStatus.DONE, worker="w")
        events = [JobEvent.of(record) for record in read_topic(topic.transport, topic.full_name)]
    assert [event.version for event in events] == [1, 2, 3, 4, 5]
    assert {event.job_id for event in events} == {1234}
    assert events[-1] == job.event()


def test_an_illegal_change_writes_nothing(topic):
    with Jobs(topic, attempts=1) as jobs:
        job = jobs.create()
        with pytest.raises(IllegalTransition):
            jobs.change(job, JobStatus.DONE)
        failed = jobs.change(jobs.change(job, JobStatus.RUNNING), JobStatus.FAILED)
        with pytest.raises(IllegalTransition, match="1 are all"):
            jobs.change(failed, JobStatus.RUNNING)
        assert len(list(read_topic(topic.transport, topic.full_name))) == 3


@pytest.mark.parametrize("job_id", [0, -1, MAX_JOB_ID + 1, 1.5, "1234", True])
def test_ids_that_are_none(topic, job_id):
    with Jobs(topic) as jobs, pytest.raises(BadJobId, match="from 1 to"):
        jobs.create(job_id)


def test_ids_are_drawn(topic):
    with Jobs(topic) as jobs:
        assert len({jobs.create().job_id for _ in range(20)}) == 20
    assert 1 <= new_job_id(random.Random(1)) <= MAX_JOB_ID


def test_the_topic_is_compacted_and_taken_as_it_is(topics):
    assert jobs_topic(topics).partitions == 1
    assert topics.describe("job-status").config["cleanup.policy"] == "compact"
    topics.grow("job-status", partitions=4)
    assert jobs_topic(topics).partitions == 4


def test_who_writes_or_asks_over_http_does_not_wait_for_the_store():
    code = "import sys, labkit.api.client, labkit.jobs.writer; print('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
