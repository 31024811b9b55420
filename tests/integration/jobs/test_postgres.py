"""The view in PostgreSQL: the same as in SQLite."""

import pytest
from sqlalchemy import create_engine, text

from labkit.errors import StoreFailed, StoreInUse
from labkit.jobs import Jobs, JobStatus, JobView, database, jobs_topic
from labkit.taskqueue import Topics
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.transport.memory import MemoryTransport


@pytest.fixture
def url(postgres_url):
    return postgres_url


@pytest.fixture
def topics():
    with Topics(MemoryTransport()) as topics:
        yield topics


def live(jobs, *job_ids):
    for job_id in job_ids:
        running = jobs.change(jobs.create(job_id), JobStatus.RUNNING, worker="w")
        jobs.change(running, JobStatus.DONE, worker="w")


def test_a_view_goes_on_and_pages(topics, url):
    topic = jobs_topic(topics, partitions=2)
    with Jobs(topic) as jobs:
        live(jobs, *range(1, 31))
        with JobView(topic, url) as view:
            view.catch_up()
            cursor = view.last_change()
        jobs.create(31)
        live(jobs, 5)  # nothing new
    with JobView(topic, url) as view:
        view.catch_up()
        assert view.counts() == {JobStatus.NEW: 1, JobStatus.RUNNING: 0, JobStatus.DONE: 30, JobStatus.FAILED: 0}
        assert [job.job_id for job in view.changes_since(cursor)] == [31]
        assert [job.job_id for job in view.list(JobStatus.DONE, after=10, limit=3)] == [11, 12, 13]
        assert {event.version for event in view.events(5)} == {1, 2, 3}
        assert view.get(31).worker is None


def test_a_large_rebuild(topics, url):
    topic = jobs_topic(topics, partitions=2)
    with Jobs(topic) as jobs, JobView(topic, url) as view:
        live(jobs, *range(1, 1001))
        view.catch_up()
        assert view.counts()[JobStatus.DONE] == 1000


def test_one_of_two_views_follows_and_the_other_takes_over(topics, url):
    topic = jobs_topic(topics)
    with JobView(topic, url) as first, JobView(topic, url) as second, Jobs(topic) as jobs:
        first.follow()
        second.follow()
        jobs.create(1)
        assert first.wait_for(1, 1, timeout=120) == second.wait_for(1, 1, timeout=120)
        first.close()
        jobs.create(2)
        assert second.wait_for(2, 1, timeout=120).job_id == 2


def test_the_store_of_another_topic(topics, url):
    one, other = jobs_topic(topics), jobs_topic(topics, name="other-jobs")
    with Jobs(one) as jobs:
        jobs.create(1)
    with Jobs(other) as jobs:
        jobs.create(2)
    with JobView(one, url) as first, JobView(other, url) as second:
        first.follow()
        wait_until(lambda: first.get(1) is not None, timeout=120, what="the first view was to begin")
        with pytest.raises(StoreInUse):
            second.catch_up(timeout=0.5)
        assert second.list() == []
        first.close()
        second.catch_up()
        assert [job.job_id for job in second.list()] == [2]


def test_a_stale_event_is_mended(topics, url):
    topic = jobs_topic(topics)
    with Jobs(topic) as jobs, JobView(topic, url) as view:
        running = jobs.change(jobs.create(1), JobStatus.RUNNING, worker="w")
        jobs.change(running, JobStatus.DONE, worker="w")
        jobs.write(running.event())
        view.follow()
        wait_until(lambda: topics.end_offsets(topic.name)[0] == 5, timeout=120, what="DONE was to be written again")


def test_a_server_that_is_not_there(topics):
    with pytest.raises(StoreFailed, match=r"127\.0\.0\.1:1/nowhere.*LABKIT_JOBS_URL") as caught:
        JobView(jobs_topic(topics), "postgresql://me:secret@127.0.0.1:1/nowhere")
    assert "secret" not in str(caught.value)


def test_a_lock_that_another_program_holds_is_said_and_waited_for(topics, url, monkeypatch, caplog):
    monkeypatch.setattr(database, "LOCK_TIMEOUT", 1)
    topic = jobs_topic(topics, partitions=2)
    other = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with Jobs(topic) as jobs, JobView(topic, url) as view:
        live(jobs, 1)
        view.catch_up()
        with other.begin() as session:
            session.execute(text("LOCK TABLE job_origin IN EXCLUSIVE MODE"))
            view.follow()
            live(jobs, 2)
            wait_until(
                lambda: "shows the jobs as they were" in caplog.text, timeout=60, what="the outage was to be said"
            )
            assert view.get(2) is None
        wait_until(lambda: view.get(2) is not None, timeout=60, what="the view was to go on")
    other.dispose()


def test_what_the_url_says_of_the_connection_stays_in_force(topics, url):
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA own"))
    separator = "&" if "?" in url else "?"
    with JobView(jobs_topic(topics), f"{url}{separator}options=-csearch_path%3Down&connect_timeout=30") as view:
        view.catch_up()
        with view._store._database.engine.connect() as connection:
            limit = connection.scalar(text("SHOW lock_timeout"))
    assert limit == f"{database.LOCK_TIMEOUT}s"
    with engine.connect() as connection:
        found = connection.scalars(text("SELECT DISTINCT schemaname FROM pg_tables WHERE tablename LIKE 'job%'"))
        assert list(found) == ["own"]
    engine.dispose()
