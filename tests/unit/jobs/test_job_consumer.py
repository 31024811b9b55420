"""Who works on jobs: each group on each once, the status moved by whoever is first."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from labkit.errors import ProcessedLogFailed, SettingsError, TryAgainLater
from labkit.jobs import MAX_ATTEMPTS, Job, JobConsumer, JobEvent, Jobs, JobStatus, JobView, ProcessedLog, jobs_topic
from labkit.jobs.job_consumer import mock_work
from labkit.jobs.job_run import JobRuns
from labkit.taskqueue import Retry, Topics
from labkit.taskqueue.dead_letters import DeadLetters
from labkit.taskqueue.service_time import constant
from labkit.taskqueue.timeouts import wait_until
from labkit.taskqueue.topics import read_topic
from labkit.taskqueue.transport.contract import ProducerConfig
from tests.unit.clock import Clock

NOTHING = mock_work(constant(0))


@pytest.fixture
def consumer(topic, view, tmp_path):
    def make(group="g", work=NOTHING, **options):
        log = ProcessedLog(tmp_path / "processed_jobs.log", group)
        return JobConsumer(topic, group=group, log=log, view=view, work=work, **options)

    return make


def create(topic, job_ids):
    with Jobs(topic) as jobs:
        for job_id in job_ids:
            jobs.create(job_id)


def lines(tmp_path, group="g"):
    return sorted(
        job.job_id for job in ProcessedLog(tmp_path / "processed_jobs.log", group).read() if job.group == group
    )


def versions(topic, job_id):
    events = [JobEvent.of(record) for record in read_topic(topic.transport, topic.full_name)]
    return [event.version for event in events if event.job_id == job_id]


def test_new_jobs_become_done(topic, view, consumer, tmp_path):
    create(topic, range(1, 11))
    view.follow()
    with consumer(workers=2, concurrency=3) as group:
        group.run(timeout=0.3)
    view.catch_up()
    assert view.counts()[JobStatus.DONE] == 10
    assert lines(tmp_path) == list(range(1, 11))
    assert group.processed == 10
    assert versions(topic, 1) == [1, 2, 3]


def test_a_second_group_works_on_all_and_leaves_the_status(topic, view, consumer, tmp_path):
    create(topic, range(1, 6))
    view.follow()
    with consumer() as first:
        first.run(timeout=0.3)
    view.catch_up()
    before = view.list()
    with consumer("other") as second:
        second.run(timeout=0.3)
    view.catch_up()
    assert second.processed == 5
    assert (lines(tmp_path), lines(tmp_path, "other")) == ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5])
    assert view.list() == before
    assert versions(topic, 1) == [1, 2, 3]


def test_what_others_have_written_is_no_job_whatever_it_looks_like(topic, view, consumer):
    create(topic, [1])
    event = {"kind": "job", "job_id": 2, "status": "NEW", "version": 1, "at": 1.0}
    client = topic.transport.producer(ProducerConfig())
    client.send(
        topic.full_name,
        partition=0,
        key=b"2",
        value=json.dumps(event).encode(),
        headers=(),
        timestamp_ms=5,
        on_delivery=lambda delivery, error: None,
    )
    client.close(5)
    view.follow()
    with consumer() as group:
        group.run(timeout=0.3)
        outcomes = sorted(group.records()["outcome"])
    view.catch_up()
    assert (group.processed, outcomes[0], set(outcomes[1:])) == (1, "bad", {"done"})
    assert [job.job_id for job in view.list()] == [1]
    [letter] = DeadLetters(Topics.of(topic), topic.name).list()
    assert letter.attempts == 1


def test_what_a_group_has_processed_it_leaves(topic, view, consumer, tmp_path):
    create(topic, [1, 2, 1])
    view.follow()
    with consumer() as group:
        group.run(timeout=0.3)
        create(topic, [2])
        group.run(timeout=0.3)
    assert group.processed == 2
    assert lines(tmp_path) == [1, 2]


@pytest.mark.parametrize("outcome", [KeyboardInterrupt(), (n for n in ())])
def test_whatever_comes_out_of_the_work_but_a_result_is_a_failure(topic, view, consumer, outcome):
    def work(job):
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    create(topic, [1234])
    view.follow()
    with consumer(work=work, retry=Retry(attempts=1)) as group:
        group.run(timeout=0.3)
    view.catch_up()
    assert view.get(1234).status is JobStatus.FAILED


async def coroutine(job): ...


def test_work_that_would_never_run_is_refused(consumer):
    for work in (coroutine, lambda job: (yield)):
        with pytest.raises(SettingsError):
            consumer(work=work)


def test_more_attempts_than_a_job_has_are_refused(consumer):
    with pytest.raises(SettingsError, match=f"{MAX_ATTEMPTS} attempts in all"):
        consumer(retry=Retry(attempts=MAX_ATTEMPTS + 1))
    consumer(retry=Retry(attempts=MAX_ATTEMPTS)).close()


def test_a_failed_attempt_is_made_again(topic, view, consumer, tmp_path):
    seen = []

    def work(job):
        seen.append((job.attempt, job.status))
        if job.attempt < 3:
            raise RuntimeError("not yet")

    create(topic, [1234])
    view.follow()
    with consumer(work=work, retry=Retry(attempts=3, first=0.01)) as group:
        group.run(timeout=0.3)
    view.catch_up()
    assert seen == [(1, JobStatus.RUNNING), (2, JobStatus.RUNNING), (3, JobStatus.RUNNING)]
    assert [event.status for event in view.events(1234)] == [
        *(
            JobStatus.NEW,
            JobStatus.RUNNING,
            JobStatus.FAILED,
            JobStatus.RUNNING,
            JobStatus.FAILED,
            JobStatus.RUNNING,
            JobStatus.DONE,
        ),
    ]
    assert view.events(1234)[2].error == "RuntimeError: not yet"
    assert lines(tmp_path) == [1234]


def test_a_job_that_stays_failed_is_a_dead_letter_and_may_be_replayed(topics, topic, view, consumer, tmp_path):
    broken = threading.Event()
    broken.set()

    def work(job):
        if broken.is_set():
            raise RuntimeError("broken")

    create(topic, [1234])
    view.follow()
    with consumer(work=work, retry=Retry(attempts=2, first=0.01)) as group:
        group.run(timeout=0.3)
        view.catch_up()
        assert (view.get(1234).status, view.get(1234).attempt) == (JobStatus.FAILED, 2)
        assert lines(tmp_path) == []
        letters = DeadLetters(topics, topic.name)
        [letter] = letters.list()
        broken.clear()
        letters.replay([letter.id])
        group.run(timeout=0.3)
    view.catch_up()
    assert (view.get(1234).status, view.get(1234).attempt) == (JobStatus.DONE, 3)
    assert lines(tmp_path) == [1234]


def test_a_job_that_failed_in_its_last_attempt_is_worked_on_by_nobody(topics, topic, view, consumer, tmp_path):
    with Jobs(topic) as jobs:
        job = jobs.create(1234)
        for _ in range(MAX_ATTEMPTS):
            job = jobs.change(jobs.change(job, JobStatus.RUNNING), JobStatus.FAILED, error="broken")
    view.follow()
    view.catch_up()
    worked = []
    with consumer(work=worked.append, retry=Retry(attempts=2, first=0.01)) as group:
        group.run(timeout=0.3)
    view.catch_up()
    assert (worked, group.processed, lines(tmp_path)) == ([], 0, [])
    assert view.get(1234).event() == job.event()
    [letter] = DeadLetters(topics, topic.name).list()
    assert f"it was tried {MAX_ATTEMPTS} times" in letter.error
    assert letter.error.endswith("The last error: broken")
    assert not group._runs


def test_a_job_that_another_worker_began_is_finished(topic, view, consumer):
    with Jobs(topic) as jobs:
        jobs.change(jobs.create(1234), JobStatus.RUNNING, worker="killed")
    view.follow()
    view.catch_up()
    with consumer() as group:
        group.run(timeout=0.3)
    view.catch_up()
    assert (view.get(1234).status, view.get(1234).version) == (JobStatus.DONE, 3)


def test_it_does_not_end_while_a_job_is_worked_on(topic, view, consumer):
    begun, may_end = threading.Event(), threading.Event()

    def work(job):
        begun.set()
        may_end.wait(60)

    create(topic, [1])
    with consumer(work=work) as group:
        running = threading.Thread(target=group.run, kwargs={"timeout": 0.1})
        running.start()
        assert begun.wait(60)
        running.join(0.5)
        assert running.is_alive()
        assert group.idle_for() == 0
        may_end.set()
        running.join(60)
        assert not running.is_alive()


def test_it_ends_when_it_is_told(consumer):
    stop = threading.Event()
    stop.set()
    with consumer() as group:
        group.run(timeout=None, stop=stop)


def test_mock_work_is_drawn_from_seed_and_job():
    waited = []
    job = Job(job_id=5, status=JobStatus.RUNNING, version=2, at=1.0, attempt=1)
    mock_work(constant(0.02), sleep=waited.append)(job)
    assert waited == [0.02]
    with pytest.raises(RuntimeError, match="attempt 1"):
        mock_work(constant(0), failing=1.0)(job)


def test_a_job_of_a_topic_that_was_made_anew_is_another_job(topics, topic, view, consumer, tmp_path):
    worked = []
    view.follow()
    with consumer(work=lambda job: worked.append((job.job_id, job.status))) as group:
        for number in range(1, 4):
            create(topic, [7])
            is_done = lambda number=number: group.processed == number  # noqa: E731
            wait_until(is_done, timeout=60, what="the job was to be done")
            view.catch_up()
            assert view.get(7).status is JobStatus.DONE
            topics.recreate(topic.name, partitions=2)
    assert worked == [(7, JobStatus.RUNNING)] * 3
    assert lines(tmp_path) == [7] * 3


def test_a_log_may_serve_several_topics(topics, topic, consumer, tmp_path):
    other = jobs_topic(topics, name="other-jobs")
    for number, one in enumerate((topic, other, topic)):
        create(one, [7])
        log = ProcessedLog(tmp_path / "processed_jobs.log", "g")
        with JobView(one, f"sqlite:///{tmp_path / one.name}.sqlite") as view:
            view.follow()
            with JobConsumer(one, group="g", log=log, view=view, work=lambda job: None) as group:
                group.run(timeout=0.5)
            view.catch_up()
            assert view.get(7).status is JobStatus.DONE
        assert group.processed == (number < 2)
    assert lines(tmp_path) == [7, 7]


def test_a_job_that_failed_on_the_old_topic_begins_with_its_first_attempt(topics, topic, view, consumer):
    attempts = []

    def work(job):
        attempts.append(job.attempt)
        raise RuntimeError("broken")

    view.follow()
    with consumer(work=work, retry=Retry(attempts=2, first=0.01)) as group:
        for number in range(1, 3):
            create(topic, [7])
            is_tried = lambda number=number: len(attempts) == 2 * number  # noqa: E731
            wait_until(is_tried, timeout=60, what="the job was to be tried twice")
            group.run(timeout=0.5)
            topics.recreate(topic.name, partitions=2)
    assert attempts == [1, 2, 1, 2]


def test_a_job_that_two_workers_of_a_consumer_have_at_once_is_worked_on_once(topic, view, consumer, tmp_path):
    """The second waits for the first, which may hang, by coming back later: its thread is free for other jobs."""
    worked, go_on = [], threading.Event()

    def work(job):
        worked.append(job.job_id)
        assert go_on.wait(60)

    group = consumer(work=work)
    with Jobs(topic) as jobs:
        event = jobs.create(7).event()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(group._process, event, view.topic_id())
        wait_until(lambda: worked, timeout=60, what="it was to be worked on")
        with pytest.raises(TryAgainLater):
            group._process(event, view.topic_id())
        go_on.set()
        first.result(60)
    group._process(event, view.topic_id())
    group.close()
    assert worked == [7]
    assert lines(tmp_path) == [7]


def test_jobs_that_stay_failed_are_forgotten_when_the_view_knows_them(topic, view, consumer):
    def work(job):
        if job.job_id <= 10:
            raise RuntimeError("broken")

    view.follow()
    with consumer(work=work, retry=Retry(attempts=1)) as group:
        create(topic, range(1, 11))
        group.run(timeout=0.3)
        view.catch_up()
        assert view.counts()[JobStatus.FAILED] == 10
        create(topic, range(11, 21))
        group.run(timeout=0.3)
        assert group.processed == 10
        assert len(group._failed) == 0


def test_a_job_that_had_to_wait_before_it_was_begun_is_not_kept(topic, view, consumer, monkeypatch):
    """Its partition may have another worker next."""
    group = consumer()
    with Jobs(topic) as jobs:
        event = jobs.create(7).event()
    with monkeypatch.context() as patched:
        patched.setattr(ProcessedLog, "has", lambda *_: (_ for _ in ()).throw(ProcessedLogFailed("it is full")))
        with pytest.raises(TryAgainLater):
            group._process(event, view.topic_id())
    assert not group._runs
    group._process(event, view.topic_id())
    group.close()
    assert group.processed == 1


def test_of_jobs_that_were_begun_and_had_to_wait_the_oldest_without_a_result_are_forgotten(monkeypatch):
    monkeypatch.setattr("labkit.jobs.job_run.MOST_RUNS", 3)
    runs = JobRuns()
    job = Job(job_id=1, status=JobStatus.RUNNING, version=2, at=1.0, attempt=1)
    with runs.held(("t", 0), job) as at_work:
        at_work.begun = True
        for number in range(1, 7):
            with runs.held(("t", number), job) as run:
                run.begun, run.finished_at = True, 2.0 if number < 3 else None
        assert [number for _, number in runs._runs] == [0, 1, 2]
        with runs.held(("t", 0), job) as again:
            assert again is None


def test_who_comes_when_a_job_is_just_through_does_not_get_its_old_run():
    runs = JobRuns()
    job = Job(job_id=1, status=JobStatus.RUNNING, version=2, at=1.0, attempt=1)
    with runs.held(("t", 1), job) as first:
        late = JobRuns()
        late._runs = Slow(runs._runs)
        runs.forget(first)
    with late.held(("t", 1), job) as second:
        assert second is None


class Slow(dict):
    """As it looks to a thread that has found the run and is held up before it takes it."""

    def __init__(self, runs):
        super().__init__()
        self._found = dict(runs)

    def setdefault(self, key, run):
        return self._found.get(key, run)


def test_a_job_has_not_ended_before_it_was_begun_where_the_clock_is_set_back_meanwhile(topic, view, consumer, tmp_path):
    def work(job):
        wall.now -= 3600

    wall = Clock(1e9)
    create(topic, [1])
    view.follow()
    with consumer(work=work, clock=wall) as group:
        group.run(timeout=0.3)
    (line,) = ProcessedLog(tmp_path / "processed_jobs.log", "g").read()
    assert line.started_at == 1e9
    assert line.finished_at >= line.started_at
