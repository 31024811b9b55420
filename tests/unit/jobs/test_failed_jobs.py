"""Jobs that failed are kept until the view knows them, and asking for them costs little."""

import pytest

from labkit.jobs import Job, JobStatus
from labkit.jobs.failed_jobs import ASK_INTERVAL, FailedJobs


def failed(job_id, attempt=1):
    return Job(job_id=job_id, status=JobStatus.FAILED, version=2 * attempt + 1, at=1.0, attempt=attempt)


class View:
    """It knows these jobs, and which it was asked for."""

    def __init__(self):
        self.knows, self.asked, self.meanwhile = {}, [], lambda: None

    def get(self, job_id):
        self.asked.append(job_id)
        self.meanwhile()
        return self.knows.get(job_id)


@pytest.fixture
def view():
    return View()


@pytest.fixture
def time():
    return [0.0]


@pytest.fixture
def jobs(view, time):
    return FailedJobs(view, lambda: time[0])


def pass_by(time):
    time[0] += ASK_INTERVAL


def test_one_is_forgotten_when_the_view_knows_that_it_failed(jobs, view, time):
    jobs.keep(("t", 1), failed(1, attempt=2))
    for view.knows in ({}, {1: failed(1)}):
        pass_by(time)
        jobs.forget_known()
        assert jobs.get(("t", 1)) == failed(1, attempt=2)
    view.knows = {1: failed(1, attempt=2)}
    pass_by(time)
    jobs.forget_known()
    assert jobs.get(("t", 1)) is None
    assert len(jobs) == 0


def test_one_that_fails_again_while_the_view_is_asked_is_kept(jobs, view, time):
    jobs.keep(("t", 1), failed(1))
    view.knows = {1: failed(1)}
    view.meanwhile = lambda: jobs.keep(("t", 1), failed(1, attempt=2))
    pass_by(time)
    jobs.forget_known()
    assert jobs.get(("t", 1)) == failed(1, attempt=2)


def test_those_that_the_view_does_not_reach_hold_up_no_other(jobs, view, time):
    for job_id in range(1, 6):
        jobs.keep(("t", job_id), failed(job_id))
    view.knows = {job_id: failed(job_id) for job_id in (3, 4, 5)}
    pass_by(time)
    for _ in range(5):
        jobs.forget_known()
    assert [job_id for job_id in range(1, 6) if jobs.get(("t", job_id))] == [1, 2]


def test_the_view_is_asked_for_each_now_and_then_only(jobs, view, time):
    jobs.keep(("t", 1), failed(1))
    jobs.forget_known()
    assert view.asked == []
    pass_by(time)
    view.meanwhile = jobs.forget_known  # as another thread, while the view is slow
    for _ in range(5):
        jobs.forget_known()
    assert view.asked == [1]
    pass_by(time)
    jobs.forget_known()
    assert view.asked == [1, 1]


def test_one_that_is_through_or_of_a_topic_that_was_made_anew_is_forgotten(jobs):
    for job_id in (1, 2):
        jobs.keep(("t", job_id), failed(job_id))
    jobs.forget(("t", 1))
    jobs.forget(("t", 1))
    assert (jobs.get(("t", 1)), jobs.get(("t", 2))) == (None, failed(2))
    jobs.clear()
    assert len(jobs) == 0
