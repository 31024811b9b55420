"""The view of the jobs: the same whatever the order, the partitions and the restarts."""

import threading
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import (
    BrokerUnreachable,
    DeadlineExceeded,
    LabkitError,
    NotAcknowledged,
    SettingsError,
    StoreFailed,
    StoreInUse,
)
from labkit.jobs import Job, JobEvent, Jobs, JobStatus, JobView, follower, jobs_topic, merge
from labkit.jobs import view as view_module
from labkit.taskqueue import Producer, Topics, new_task
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import read_topic
from labkit.taskqueue.transport.memory import MemoryTransport
from tests.refused_threads import refuse_threads
from tests.unit.jobs.drawn import UNKEEPABLE, events


def put(topic, drawn, partition_of=lambda number: 0):
    """Put events on the topic, the n-th on a partition of one's choice."""
    numbers = iter(range(len(drawn)))
    with Producer(topic, partitioner=lambda key, count: partition_of(next(numbers)) % count) as producer:
        producer.send_many(event.to_task() for event in drawn)


def greatest(drawn):
    jobs = {}
    for event in drawn:
        jobs[event.job_id] = merge(jobs.get(event.job_id, event), event)
    return jobs


def states(view):
    return {job.job_id: job.event() for job in view.list(limit=1000)}


def a_life(job_id=1234, at=1.0):
    job = Job.of(JobEvent(job_id=job_id, status=JobStatus.NEW, version=1, at=at))
    running = job.with_event(job.next_event(JobStatus.RUNNING, at=at + 1, worker="w"))
    done = running.with_event(running.next_event(JobStatus.DONE, at=at + 2, worker="w"))
    return [job.event(), running.event(), done.event()]


@pytest.mark.slow
@settings(max_examples=min(50, settings.default.max_examples))
@given(st.lists(events(jobs=4), max_size=12), st.lists(st.integers(0, 3), min_size=14, max_size=14), st.integers(0, 12))
def test_the_same_view_in_any_order_on_any_partition_after_any_restart(drawn, places, restart):
    with TemporaryDirectory() as folder, Topics(MemoryTransport()) as topics:
        topic = jobs_topic(topics)
        url = f"sqlite:///{folder}/jobs.sqlite"
        put(topic, drawn[:restart])
        with JobView(topic, url) as view:
            view.catch_up()
            assert states(view) == greatest(drawn[:restart])
        topics.grow("job-status", partitions=4)
        # what comes after the restart, and some of what was there before once more
        put(topics.get("job-status"), drawn[restart:] + drawn[:2], places.__getitem__)
        with JobView(topic, url) as view:
            view.catch_up()
            assert states(view) == greatest(drawn)
            for job in view.list(limit=1000):
                news = [e.at for e in drawn if e.job_id == job.job_id and e.status is JobStatus.NEW]
                assert job.created_at == min(news, default=None)
                assert reduce(merge, view.events(job.job_id)) == job.event()


def test_pages_filters_and_counts(topic, view):
    put(topic, [event for job_id in range(1, 8) for event in a_life(job_id)[: 1 + job_id % 3]])
    view.catch_up()
    assert view.counts() == {JobStatus.NEW: 2, JobStatus.RUNNING: 3, JobStatus.DONE: 2, JobStatus.FAILED: 0}
    first = view.list(limit=3)
    assert [job.job_id for job in first + view.list(after=3, limit=3)] == [1, 2, 3, 4, 5, 6]
    assert [job.job_id for job in view.list(JobStatus.RUNNING, after=1)] == [4, 7]
    assert [event.version for event in view.events(2)] == [1, 2, 3]
    assert view.get(99) is None
    assert view.events(99) == []


def test_a_reader_sees_its_own_write(topic, view):
    with Jobs(topic) as jobs:
        job = jobs.create(1234)
        assert view.wait_for(1234, job.version, timeout=60).event() == job.event()
        view.follow()
        job = jobs.change(job, JobStatus.RUNNING, worker="w")
        assert view.wait_for(1234, job.version, timeout=60).status is JobStatus.RUNNING
    late = r"job 1234 was to come to version 9\. 0 changes .* a second\), and \d are left"
    with pytest.raises(DeadlineExceeded, match=late):
        view.wait_for(1234, 9, timeout=0.2)


def test_done_satisfies_who_waits_for_a_later_attempt(topic, view):
    put(topic, a_life())
    assert view.wait_for(1234, 8, timeout=60).version == 3


def test_many_threads_wait_at_once(topic, view):
    seen = []
    threads = [
        threading.Thread(target=lambda n=n: seen.append(view.wait_for(n, 1, timeout=60).job_id)) for n in range(1, 9)
    ]
    for thread in threads:
        thread.start()
    with Jobs(topic) as jobs:
        for job_id in range(1, 9):
            jobs.create(job_id)
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(1, 9))


def test_changes_come_in_order_and_go_on_after_a_rebuild(topic, url, tmp_path):
    put(topic, a_life(1) + a_life(2)[:1])
    with JobView(topic, url) as view:
        view.catch_up()
        first = view.changes_since(0)
        assert [job.job_id for job in first] == [1, 2]
        cursor = view.last_change()
        assert first[-1].change == cursor
        put(topic, a_life(1)[:1] + a_life(2)[1:])  # the first says nothing new
        view.catch_up()
        assert [(job.job_id, job.status) for job in view.changes_since(cursor)] == [(2, JobStatus.DONE)]
        cursor = view.last_change()
    for file in tmp_path.glob("jobs.sqlite*"):
        file.unlink()
    with JobView(topic, url) as view:
        view.catch_up()
        assert len(view.changes_since(cursor)) == 2
        assert view.changes_since(0, limit=1) == view.changes_since(cursor, limit=1)


def test_a_store_that_is_deleted_meanwhile_is_built_again(topic, view, tmp_path):
    put(topic, a_life())
    view.follow()
    view.wait_for(1234, 3, timeout=60)
    for file in tmp_path.glob("jobs.sqlite*"):
        if not file.name.endswith(".lock"):
            file.unlink()
    assert view.wait_for(1234, 3, timeout=60).status is JobStatus.DONE


def test_a_topic_that_was_made_anew_is_another_one(topics, topic, view):
    put(topic, a_life(1))
    view.follow()
    view.wait_for(1, 3, timeout=60)
    topics.delete("job-status")
    other = jobs_topic(topics, partitions=2)
    put(other, a_life(2))
    view.wait_for(2, 3, timeout=60)
    assert list(states(view)) == [2]


def test_nothing_of_a_topic_that_is_gone_gets_onto_the_next(topics, topic, view, monkeypatch):
    monkeypatch.setattr("labkit.jobs.follower.LOOK_AGAIN", 3600.0)  # nobody looks but where something is read
    put(topic, a_life(7))
    view.follow()
    wait_until(lambda: view.counts()[JobStatus.DONE] == 1, timeout=60, what="the view was to follow")
    topics.recreate(topic.name, partitions=2)
    put(topic, a_life(7)[:1])
    wait_until(lambda: view.counts()[JobStatus.NEW] == 1, timeout=60, what="the view was to be of the new topic")
    view.close()
    records = [JobEvent.of(record) for record in read_topic(topic.transport, topic.full_name)]
    assert [event.status for event in records] == [JobStatus.NEW]


def test_the_store_of_another_topic_is_rebuilt(topics, topic, url):
    put(topic, a_life(1))
    other = topics.create("other-jobs", partitions=1)
    put(other, a_life(2))
    for one, job_id in [(topic, 1), (other, 2), (topic, 1)]:
        with JobView(one, url) as view:
            assert view.list() == []  # not what another topic's view has left there
            view.catch_up()
            assert list(states(view)) == [job_id]


def test_a_store_that_another_topic_is_kept_in_is_left_alone(topics, topic, url):
    other = topics.create("other-jobs", partitions=1)
    put(other, a_life(2))
    with JobView(topic, url) as first, JobView(other, url) as second:
        first.follow()
        wait_until(lambda: first.last_change() > 0, timeout=60, what="the first view was to begin")
        with pytest.raises(StoreInUse, match="LABKIT_JOBS_URL"):
            second.catch_up(timeout=0.5)
        assert second.list() == []


def test_two_views_of_one_store(topic, url):
    with JobView(topic, url) as first, JobView(topic, url) as second, Jobs(topic) as jobs:
        first.follow()
        second.follow()
        for job_id in range(1, 20):
            jobs.create(job_id)
            assert second.wait_for(job_id, 1, timeout=60).job_id == job_id
        first.close()
        jobs.create(20)
        assert second.wait_for(20, 1, timeout=60).job_id == 20
        assert len(second.list()) == 20


def test_a_store_that_is_ahead_of_its_topic_is_rebuilt(topic, url):
    put(topic, a_life(1) + a_life(2))
    with JobView(topic, url) as view:
        view.catch_up()
    del topic.transport._cluster.topics["job-status"].logs[0][3:]  # as after a disk was lost
    with JobView(topic, url) as view:
        view.catch_up()
        assert list(states(view)) == [1]
        put(topic, a_life(3))
        view.catch_up()
        assert list(states(view)) == [1, 3]


def test_what_is_no_event_is_passed_over(topic, view, caplog):
    with Producer(topic) as producer:
        producer.send(new_task("message", "hello"))
    put(topic, a_life())
    view.catch_up()
    assert list(states(view)) == [1234]
    assert "The view passes it over" in caplog.text


@pytest.mark.parametrize("changes", UNKEEPABLE, ids=repr)
def test_an_event_that_no_store_could_keep_does_not_hold_up_the_view(topic, view, changes):
    task = a_life(5)[0].to_task()
    with Producer(topic) as producer:
        producer.send(task.evolve(payload=task.payload | changes))
    put(topic, a_life())
    view.catch_up()
    assert list(states(view)) == [1234]


def compacted(topic):
    """What compaction may leave: the last event of every key and partition."""
    kept = {(r.partition, r.key): JobEvent.of(r) for r in read_topic(topic.transport, topic.full_name)}
    return list(kept.values())


@pytest.mark.slow
@settings(max_examples=min(25, settings.default.max_examples))
@given(st.lists(events(jobs=2), min_size=1, max_size=8))
def test_compaction_takes_nothing_from_a_topic_that_was_followed(drawn):
    with TemporaryDirectory() as folder, Topics(MemoryTransport()) as topics:
        topic = jobs_topic(topics)
        put(topic, drawn)
        with JobView(topic, f"sqlite:///{folder}/jobs.sqlite") as view:
            view.follow()
            view.catch_up()
            before = greatest(drawn)
            later = {job_id: event for job_id, event in before.items() if event.status is not JobStatus.NEW}

            def mended():
                left = greatest(compacted(topic))
                return all(left[job_id] == event for job_id, event in later.items())

            wait_until(mended, timeout=60, what="the last events were to be the greatest")
            view.catch_up()
            assert states(view) == before


def test_mending_ends(topic, view):
    late = a_life()
    put(topic, [late[0], late[2], late[1]])
    view.follow()
    wait_until(lambda: compacted(topic) == [late[2]], timeout=60, what="DONE was to be written again")
    for job_id in (1, 2, 3):  # each of them takes the follower a round
        put(topic, a_life(job_id)[:1])
        view.wait_for(job_id, 1, timeout=60)
    assert len(list(read_topic(topic.transport, topic.full_name))) == 4 + 3


def test_mending_ends_where_the_topic_is_made_anew_under_it(topics, topic, view, monkeypatch):
    for job_id in (1, 2, 3):
        new, running, done = a_life(job_id)
        put(topic, [new, done, running])
    view.catch_up()
    write, mended = Jobs.write, []

    def write_before_it_is_made_anew(self, event):
        job = write(self, event)
        if not mended:
            topics.recreate(topic.name, partitions=2)
        mended.append(job.job_id)
        return job

    monkeypatch.setattr(Jobs, "write", write_before_it_is_made_anew)
    view._mend()
    assert len(mended) == 1
    assert list(read_topic(topic.transport, topic.full_name)) == []


def test_a_view_that_does_not_follow_says_each_outage_once_and_its_end(view, monkeypatch, caplog):
    """Another process follows meanwhile."""
    answers, said = [LabkitError("away"), LabkitError("still away"), None] * 2, threading.Event()

    def step(timeout):
        if not answers:
            said.set()
            return None
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        assert view._trouble is not None
        return answer

    monkeypatch.setattr("labkit.jobs.view.TRY_AGAIN", 0.01)
    monkeypatch.setattr(view, "_step", step)
    view.follow()
    assert said.wait(60)
    assert view._trouble is None
    words = [record.getMessage().split(" and ")[0] for record in caplog.records]
    assert ["waits for" in text for text in words] == [True, False] * 2
    assert ["goes on" in text for text in words] == [False, True] * 2


def test_mending_that_fails_is_said_once(topic, view, monkeypatch, caplog):
    """Though the topic can be read meanwhile."""
    tries, enough = [], threading.Event()

    def mend():
        tries.append(1)
        if len(tries) == 3:
            enough.set()
            view._stop.set()
        raise NotAcknowledged

    monkeypatch.setattr("labkit.jobs.view.TRY_AGAIN", 0.01)
    monkeypatch.setattr("labkit.jobs.view.STEP", 0.01)
    monkeypatch.setattr(view, "_mend", mend)
    view.follow()
    assert enough.wait(60)
    view.close()
    assert caplog.text.count("waits for the topic or its store") == 1


@pytest.mark.parametrize("url", ["sqlite://", "nonsense", "mysql://somewhere/jobs"])
def test_urls_that_cannot_be(topic, url):
    with pytest.raises(SettingsError, match="LABKIT_JOBS_URL"):
        JobView(topic, url)


def test_a_file_that_is_no_database(topic, tmp_path: Path):
    (tmp_path / "jobs.sqlite").write_text("this is no database, but it is long enough to be looked at as one " * 20)
    with pytest.raises(StoreFailed, match=r"not a database.*delete it"):
        JobView(topic, f"sqlite:///{tmp_path / 'jobs.sqlite'}")


@pytest.mark.parametrize("error", [RuntimeError("a defect"), LabkitError("away"), MemoryError()])
def test_the_thread_that_follows_outlives_whatever_goes_wrong(topic, view, monkeypatch, caplog, error):
    follow_on, failures = view._follow_on, []

    def fail_twice():
        failures.append(error)
        if len(failures) < 3:
            raise error
        follow_on()

    monkeypatch.setattr(view, "_follow_on", fail_twice)
    view.follow()
    with Jobs(topic) as jobs:
        jobs.create(1234)
    wait_until(lambda: view.get(1234) is not None, timeout=60, what="the view was to follow on")
    assert caplog.text.count("waits for the topic or its store") == 1
    assert caplog.text.count("Traceback") == (not isinstance(error, LabkitError))


def test_a_view_whose_database_hangs_is_left_behind_and_lets_go_when_it_answers(topics, url, monkeypatch, caplog):
    monkeypatch.setattr(view_module, "STOP_TIMEOUT", 0.05)
    view = JobView(jobs_topic(topics), url)
    close, closed = view._store.close, threading.Event()
    monkeypatch.setattr(view._store, "close", lambda: (close(), closed.set()))
    view._turn.acquire()  # as a thread does that is inside a statement
    view.close()
    assert "it is left behind" in caplog.text
    assert not closed.is_set()
    view._turn.release()
    assert closed.wait(60)


@pytest.mark.parametrize("asks", [JobView.catch_up, lambda view, timeout: view.wait_for(1, 1, timeout)])
@pytest.mark.parametrize("part", ["_catalogue.look", "_follower.step"])
def test_no_wait_takes_longer_than_it_may_where_the_broker_hangs(topic, view, monkeypatch, asks, part):
    put(topic, a_life(1))
    goes_on, answered = threading.Event(), []
    owner, name = getattr(view, part.partition(".")[0]), part.partition(".")[2]
    answers = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args: (goes_on.wait(60), answered.append(name), answers(*args))[2])
    with pytest.raises((BrokerUnreachable, DeadlineExceeded)):
        asks(view, timeout=0.2)
    assert not answered
    before = threading.active_count()
    for _ in range(2):
        with pytest.raises((BrokerUnreachable, DeadlineExceeded)):
            asks(view, timeout=0.2)
    assert threading.active_count() <= before + 1, "who asks again waits for the question that was put"
    assert not answered
    goes_on.set()
    view.catch_up()  # what was left behind has let go
    assert states(view).keys() == {1}


def test_a_view_that_no_thread_could_follow_can_follow_later(topic, view, monkeypatch):
    with monkeypatch.context() as patch:
        refuse_threads(patch, "job-view")
        with pytest.raises(RuntimeError, match="can't start new thread"):
            view.follow()
    view.follow()
    put(topic, a_life())
    wait_until(lambda: view.get(1234) is not None, timeout=60, what="it was to be read")


def test_a_view_that_no_thread_could_follow_can_be_closed(view, monkeypatch):
    refuse_threads(monkeypatch, "job-view")
    with pytest.raises(RuntimeError, match="can't start new thread"):
        view.follow()
    view.close()


def test_a_connection_that_does_not_close_keeps_no_lock_from_others(topic, url, monkeypatch):
    def refuse(self):
        raise BrokerUnreachable("it hangs")

    with Jobs(topic) as jobs, JobView(topic, url) as other:
        first = JobView(topic, url)
        first.follow()
        jobs.create(1)
        first.wait_for(1, 1)
        with monkeypatch.context() as patched:
            patched.setattr(follower.TopicReader, "close", refuse)
            with pytest.raises(BrokerUnreachable, match="it hangs"):
                first.close()
        assert other._follower._lock.acquire()
        assert not first._thread.is_alive()
        jobs.create(2)
        assert other.wait_for(2, 1).job_id == 2
