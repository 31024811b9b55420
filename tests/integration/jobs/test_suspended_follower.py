"""A process that follows for all and is suspended: the others read on, and it does no harm when it wakes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labkit.errors import DeadlineExceeded
from labkit.jobs import Jobs, JobStatus, JobView, database, jobs_topic
from labkit.lab import Lab
from labkit.taskqueue import connect
from labkit.taskqueue.timeouts import wait_until
from tests.conditions import PATIENCE, frozen

HEAD = """
import sys
from labkit.jobs import Jobs, JobView, database, jobs_topic
from labkit.lab import open_lab
from labkit.taskqueue import connect

name, url, limit = sys.argv[1:]
database.LOCK_TIMEOUT = int(limit)
with open_lab() as lab, connect(lab) as topics, JobView(jobs_topic(topics, name=name), url) as view:
"""
#: It has written all that it has to write when it is ready; a suspension in a write is another test's.
FOLLOWS = """
    view.follow()
    with Jobs(view.topic) as jobs:
        jobs.create(99)
    view.wait_for(99, 1, timeout=120)
    print("ready", flush=True)
    sys.stdin.read()
"""
WRITES = """
    view.catch_up()
    assert view._follower._lock.acquire()
    with view._store._writing():
        print("ready", flush=True)
        sys.stdin.read()
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@contextmanager
def program(body: str, name: str, url: str, lab: Lab, lock_timeout: int = 30) -> Iterator[subprocess.Popen[str]]:
    """Another process, at its "ready"."""
    environment = {**os.environ, "LABKIT_BOOTSTRAP_SERVERS": lab.bootstrap_servers, "LABKIT_REDIS_URL": lab.redis_url}
    process = subprocess.Popen(
        [sys.executable, "-c", HEAD + body, name, url, str(lock_timeout)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_others_read_on_without_it(lab: Lab, unique_name: str, url: str) -> None:
    with (
        connect(lab) as topics,
        Jobs(topic := jobs_topic(topics, name=unique_name)) as jobs,
        JobView(topic, url) as following,
        JobView(topic, url) as asking,
        program(FOLLOWS, unique_name, url, lab) as other,
    ):
        with frozen(other.pid):
            jobs.create(1)
            with pytest.raises(DeadlineExceeded, match=rf"Process {other.pid}.* follows the topic for all"):
                asking.wait_for(2, 1, timeout=12)
            asking.wait_for(1, 1, timeout=PATIENCE)
            following.follow()
            jobs.create(2)
            asking.wait_for(2, 1, timeout=PATIENCE)
            topic = topics.recreate(unique_name, partitions=2)
            jobs.create(3)
            asking.catch_up(timeout=PATIENCE)
            assert [job.job_id for job in asking.list()] == [3]
        for job_id in range(4, 24):
            jobs.create(job_id)
            asking.wait_for(job_id, 1, timeout=PATIENCE)
        assert [job.job_id for job in asking.list()] == list(range(3, 24))
        assert [job.change for job in asking.changes_since(asking.get(3).change)] == sorted(
            {job.change for job in asking.list()[1:]}
        )
        assert other.poll() is None


def test_one_that_was_suspended_while_it_writes_keeps_postgresql_for_so_long_only(
    lab: Lab, unique_name: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_TIMEOUT", 2)
    with (
        connect(lab) as topics,
        Jobs(topic := jobs_topic(topics, name=unique_name)) as jobs,
        JobView(topic, postgres_url) as view,
        program(WRITES, unique_name, postgres_url, lab, lock_timeout=2) as other,
        frozen(other.pid),
    ):
        jobs.create(1)
        view.follow()
        wait_until(lambda: view.get(1) is not None, timeout=PATIENCE, what="the view was to go on")
        assert view.counts()[JobStatus.NEW] == 1


@pytest.mark.long
def test_one_that_was_suspended_while_it_writes_to_sqlite_is_named(lab: Lab, unique_name: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    with (
        connect(lab) as topics,
        Jobs(topic := jobs_topic(topics, name=unique_name)) as jobs,
        JobView(topic, url) as view,
        program(WRITES, unique_name, url, lab) as other,
    ):
        jobs.create(1)
        with (
            frozen(other.pid),
            pytest.raises(DeadlineExceeded, match=rf"Process {other.pid} follows the topic for all"),
        ):
            view.wait_for(1, 1, timeout=12)
        other.kill()
        view.wait_for(1, 1, timeout=PATIENCE)
