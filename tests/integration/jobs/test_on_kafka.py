"""Jobs on the real broker: what is written is seen, and nothing is lost while the topic grows under load."""

import random
import threading
from itertools import count

import pytest

from labkit.jobs import JobConsumer, Jobs, JobStatus, JobView, ProcessedLog, jobs_topic, open_view
from labkit.jobs.job_consumer import mock_work
from labkit.taskqueue import Producer, connect
from labkit.taskqueue.service_time import uniform
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import read_topic


@pytest.fixture(params=["kafka-python", "confluent-kafka"])
def topics(lab, request):
    with connect(lab, transport=request.param) as topics:
        yield topics


def test_a_reader_sees_its_own_write(topics, lab, unique_name):
    topic = jobs_topic(topics, name=unique_name)
    with open_view(topic, lab) as view, Jobs(topic) as jobs:
        view.catch_up()  # an empty topic
        job = jobs.create()
        assert view.wait_for(job.job_id, 1) == view.get(job.job_id)
        view.follow()
        job = jobs.change(job, JobStatus.RUNNING, worker="w")
        job = jobs.change(job, JobStatus.DONE, worker="w")
        assert view.wait_for(job.job_id, job.version).event() == job.event()
    with open_view(topic, lab) as view:  # goes on where it was
        assert view.get(job.job_id).event() == job.event()
        view.catch_up()
        assert [event.version for event in view.events(job.job_id)] == [1, 2, 3]


def test_growing_from_1_to_4_partitions_under_load(topics, lab, unique_name, tmp_path):
    topic = jobs_topic(topics, name=unique_name)
    work = mock_work(uniform(0, 0.004))
    created, enough = [], threading.Event()

    def create(start):
        with Jobs(topic) as jobs:
            for job_id in count(start, 2):
                created.append(jobs.create(job_id).job_id)
                if enough.wait(0.05):  # it takes seconds until the new partitions are seen, and each job costs requests
                    return

    def consumer(group, view):
        log = ProcessedLog(tmp_path / "processed_jobs.log", group)
        return JobConsumer(
            topic, group=f"{group}-{unique_name}", log=log, view=view, work=work, workers=2, concurrency=4
        )

    writers = [threading.Thread(target=create, args=(start,)) for start in (1, 2)]
    with open_view(topic, lab) as view:
        view.follow()
        with consumer("one", view) as one, consumer("two", view) as two:
            for writer in writers:
                writer.start()
            wait_until(lambda: len(created) >= 100, timeout=120, what="jobs were to be created")
            topics.grow(unique_name, partitions=4)
            new = [1, 2, 3]
            wait_until(
                lambda: all(topics.end_offsets(unique_name)[number] >= 20 for number in new),
                timeout=120,
                what="the new partitions were to be used",
            )
            enough.set()
            for writer in writers:
                writer.join()
            one.run(timeout=0.5)
            two.run(timeout=0.5)
        view.catch_up()
        assert view.counts() == dict.fromkeys(JobStatus, 0) | {JobStatus.DONE: len(created)}
        for group in ("one", "two"):
            lines = [job.job_id for job in ProcessedLog(tmp_path / "processed_jobs.log", group).read()]
            assert sorted(lines) == sorted(created * 2)
    # what was read in any other order, by a view of its own, is the same
    with JobView(topic, f"sqlite:///{tmp_path / 'other.sqlite'}") as other:
        other.catch_up()
        assert other.counts()[JobStatus.DONE] == len(created)


def test_compaction_by_the_broker_keeps_the_view(lab, unique_name, tmp_path):
    """A stale RUNNING stands behind DONE: without mending, it is what compaction would keep."""
    with connect(lab) as topics:
        topic = topics.create(
            unique_name,
            partitions=1,
            config={
                "cleanup.policy": "compact",
                "segment.ms": "100",
                "min.cleanable.dirty.ratio": "0.01",
                "max.compaction.lag.ms": "100",
            },
        )
        with Jobs(topic) as jobs, open_view(topic, lab) as view:
            running = jobs.change(jobs.create(1234), JobStatus.RUNNING, worker="a")
            done = jobs.change(running, JobStatus.DONE, worker="a")
            jobs.write(running.event())
            view.follow()
            wait_until(
                lambda: topics.end_offsets(unique_name)[0] >= 5, timeout=120, what="DONE was to be written again"
            )
            fillers = iter(random.Random(1).sample(range(10_000, 1_000_000), 5000))

            def is_compacted():
                jobs.create(next(fillers))  # compaction begins behind the newest segment
                left = [r for r in read_topic(topic.transport, topic.full_name) if r.key == b"1234"]
                return len(left) == 1

            wait_until(is_compacted, timeout=90, what="the broker was to compact the topic", interval=0.5)
        with JobView(topic, f"sqlite:///{tmp_path / 'rebuilt.sqlite'}") as rebuilt:
            rebuilt.catch_up()
            assert rebuilt.get(1234).event() == done.event()


@pytest.mark.long
def test_a_view_waits_for_a_broker_that_comes_back(tmp_path):
    from labkit.lab import Lab

    with Lab() as own, connect(own) as topics:
        topic = jobs_topic(topics)
        with open_view(topic, own) as view:
            with Jobs(topic) as jobs:
                jobs.create(1)
            view.follow()
            view.wait_for(1, 1)
            own.kill_broker()
            assert view.get(1).status is JobStatus.NEW  # the store answers all the same
            own.restart_broker()
            with Producer(topic) as producer:
                from labkit.jobs.writer import new_job

                producer.send(new_job(2).to_task())
            assert view.wait_for(2, 1).status is JobStatus.NEW
