"""What a consumer of jobs needs itself may be away: its jobs wait, none is an attempt, and no work is done twice."""

from __future__ import annotations

import logging
import resource
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from labkit.errors import NotAcknowledged, RedisUnreachable
from labkit.jobs import JobConsumer, Jobs, JobStatus, ProcessedLog
from labkit.taskqueue import Retry
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.timeouts import wait_until

pytestmark = pytest.mark.slow

JOBS, THREADS = 30, 3
TIMEOUT = 60.0


@contextmanager
def turned(link: Path, to: Path):
    """The link leads elsewhere; it is turned in one step, so that nobody finds a moment in between."""
    usual = link.readlink()
    _turn(link, to)
    try:
        yield
    finally:
        _turn(link, usual)


def _turn(link: Path, to: Path) -> None:
    new = link.with_name(f"{link.name}-new")
    new.symlink_to(to)
    new.replace(link)


@contextmanager
def no_room_on_disk():
    """Files can't grow, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def nothing_acknowledged(monkeypatch):
    def refuse(self, event):
        raise NotAcknowledged("the broker is away")

    with monkeypatch.context() as patched:
        patched.setattr(Jobs, "write", refuse)
        yield


@contextmanager
def store_not_to_be_made(folder):
    """The store is deleted, and somebody who makes it anew does not come to an end."""
    store = folder / "stores" / "jobs.sqlite"
    with FileLock(f"{store}-making.lock"), turned(store, folder / "stores" / "none"):
        yield


OUTAGES = {
    "the log is a folder": lambda folder, _: turned(folder / "logs" / "processed_jobs.log", folder),
    "its folder is a file": lambda folder, _: turned(folder / "logs", folder / "a file"),
    "its lock is held": lambda folder, _: FileLock(folder / "logs" / "processed_jobs.log.lock"),
    "the disk is full": lambda *_: no_room_on_disk(),
    "the store is a folder": lambda folder, _: turned(folder / "stores" / "jobs.sqlite", folder),
    "the store's folder is a file": lambda folder, _: turned(folder / "stores", folder / "a file"),
    "the store's folder is a link to itself": lambda folder, _: turned(folder / "stores", folder / "a circle"),
    "the store can't be made": lambda folder, _: store_not_to_be_made(folder),
    "Kafka is away": lambda _, monkeypatch: nothing_acknowledged(monkeypatch),
}
#: What is like another one of these, but at another place.
AS_ANOTHER = (
    "its folder is a file",
    "the store is a folder",
    "the store's folder is a file",
    "the store's folder is a link to itself",
)


@pytest.fixture
def url(tmp_path):
    """Log, store and their folders by links."""
    for name, folder in {"logs": "a folder", "stores": "another folder"}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / name).symlink_to(tmp_path / folder)
    (tmp_path / "a file").touch()
    (tmp_path / "a circle").symlink_to(tmp_path / "a circle")
    (tmp_path / "logs" / "processed_jobs.log").symlink_to(tmp_path / "lines")
    store = tmp_path / "stores" / "jobs.sqlite"
    store.symlink_to(tmp_path / "a store")
    return f"sqlite:///{store}"


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=pytest.mark.long if what in AS_ANOTHER else ()) for what in OUTAGES]
)
def test_what_the_consumer_needs_may_be_away(what, topics, topic, view, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.WARNING, "labkit.jobs")
    monkeypatch.setattr("labkit.jobs.processed_log.LOCK_TIMEOUT", 0.2)
    monkeypatch.setattr("labkit.jobs.database.BUSY_TIMEOUT", 0.2)
    worked: Counter[int] = Counter()
    # all are at work when it begins, so that none is in the middle of a note that still succeeds
    all_at_work, go_on = threading.Barrier(THREADS + 1), threading.Event()

    def work(job):
        worked[job.job_id] += 1
        if len(worked) > JOBS / 3 and not go_on.is_set():
            all_at_work.wait(TIMEOUT)
            assert go_on.wait(TIMEOUT)

    with Jobs(topic) as jobs:
        for job_id in range(1, JOBS + 1):
            jobs.create(job_id)
    view.follow()
    log = ProcessedLog(tmp_path / "logs" / "processed_jobs.log", "g")
    options = {"work": work, "concurrency": THREADS, "retry": Retry(attempts=1)}
    with JobConsumer(topic, group="g", log=log, view=view, **options) as group:
        all_at_work.wait(TIMEOUT)
        with OUTAGES[what](tmp_path, monkeypatch):
            go_on.set()
            # with a full disk jobs can still begin: what is needed for that is only read
            expected = ["worked on wait", "its jobs wait"][: 1 if what == "the disk is full" else 2]
            for which in expected:
                wait_until(lambda which=which: which in caplog.text, timeout=TIMEOUT, what=f"{which} was to be said")
        group.run(timeout=0.5)
    view.catch_up()
    assert view.counts()[JobStatus.DONE] == JOBS
    assert {view.get(job_id).attempt for job_id in worked} == {1}
    assert set(worked.values()) == {1}
    assert sorted(job.job_id for job in log.read()) == list(range(1, JOBS + 1))
    assert DeadLetters(topics, topic.name).list() == []
    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("consumer")]
    ended = sum("goes on" in text for text in said)
    # once each for the outage, and once for each time that a busy machine kept a lock for longer than these allow
    assert sum("waits for" in text for text in said) == ended >= len(expected), said


def test_waiting_ends_when_the_consumer_is_told_to_stop(topic, view, tmp_path, caplog):
    log = ProcessedLog(tmp_path / "logs" / "processed_jobs.log", "g")
    with (
        turned(log.path, tmp_path),
        Jobs(topic) as jobs,
        JobConsumer(topic, group="g", log=log, view=view, work=lambda job: None),
    ):
        jobs.create(1)
        wait_until(lambda: "its jobs wait" in caplog.text, timeout=TIMEOUT, what="the outage was to be said")


def test_a_failure_that_could_not_be_noted_at_once_is_an_attempt_all_the_same(
    topics, topic, view, tmp_path, monkeypatch
):
    worked = []

    def work(job):
        worked.append(job.attempt)
        raise RuntimeError("broken")

    with Jobs(topic) as jobs:
        jobs.create(1)
    view.follow()
    log = ProcessedLog(tmp_path / "processed_jobs.log", "g")
    refused = threading.Event()
    change = Jobs.change

    def refuse_once(self, job, status, **more):
        if status is JobStatus.FAILED and not refused.is_set():
            refused.set()
            raise NotAcknowledged("the broker is away")
        return change(self, job, status, **more)

    monkeypatch.setattr(Jobs, "change", refuse_once)
    options = {"work": work, "retry": Retry(attempts=2, first=0.01)}
    with JobConsumer(topic, group="g", log=log, view=view, **options) as group:
        group.run(timeout=0.5)
    view.catch_up()
    assert worked == [1, 2]
    assert (view.get(1).status, view.get(1).attempt) == (JobStatus.FAILED, 2)
    assert len(DeadLetters(topics, topic.name).list()) == 1


def test_work_that_has_to_wait_itself_is_no_attempt_either(topic, view, tmp_path):
    tries = []

    def work(job):
        tries.append(job.attempt)
        if len(tries) < 3:
            raise RedisUnreachable  # as an `@once` within it does

    with Jobs(topic) as jobs:
        jobs.create(1)
    view.follow()
    log = ProcessedLog(tmp_path / "processed_jobs.log", "g")
    with JobConsumer(topic, group="g", log=log, view=view, work=work, retry=Retry(attempts=1)) as group:
        group.run(timeout=0.5)
    view.catch_up()
    assert tries == [1, 1, 1]
    assert [event.status for event in view.events(1)] == [JobStatus.NEW, JobStatus.RUNNING, JobStatus.DONE]


def test_a_consumer_whose_topic_is_deleted_waits_until_it_is_made_anew(topics, topic, view, tmp_path, caplog):
    log = ProcessedLog(tmp_path / "processed_jobs.log", "g")
    with JobConsumer(topic, group="g", log=log, view=view, work=lambda job: None) as group:
        topics.delete(topic.name)
        with ThreadPoolExecutor(1) as pool:
            ended = pool.submit(group.run, timeout=0.1)
            wait_until(lambda: "is gone" in caplog.text, timeout=TIMEOUT, what="it was to be said")
            assert not ended.done()
            topics.create(topic.name, partitions=1)
            ended.result(TIMEOUT)
