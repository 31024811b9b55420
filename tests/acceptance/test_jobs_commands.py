"""`labkit jobs`, as a user types it."""

import json
import re
from functools import partial

import pytest

from labkit.jobs import ProcessedLog
from labkit.taskqueue import connect
from labkit.taskqueue.timeouts import wait_until
from tests.acceptance.commands import ended, said


@pytest.fixture
def environment(environment, tmp_path):
    return environment | {"LABKIT_JOBS_URL": f"sqlite:///{tmp_path / 'jobs.sqlite'}"}


@pytest.fixture
def type_in(type_in):
    """Start `labkit jobs …`."""
    return partial(type_in, "jobs")


def test_a_job_from_new_to_done(type_in, unique_name, tmp_path):
    topic = ("--topic", unique_name)
    out = said(type_in("produce", "1234", "5", *topic))
    assert "job 1234 -> partition 0, offset 0" in out
    assert f"2 jobs are NEW on {unique_name}." in out
    assert "2 NEW, 0 RUNNING, 0 DONE, 0 FAILED." in said(type_in("list", *topic))

    out = said(type_in("consume", "--group", unique_name, "--timeout", "0.5", *topic))
    assert f"2 jobs processed by {unique_name}. Log: results/processed_jobs.log" in out
    lines = (tmp_path / "results" / "processed_jobs.log").read_text().splitlines()
    assert sorted(json.loads(line)["job_id"] for line in lines) == [5, 1234]

    jobs = json.loads(said(type_in("list", "--status", "done", "--json", *topic)))
    assert [(job["job_id"], job["status"], job["version"]) for job in jobs] == [(5, "DONE", 3), (1234, "DONE", 3)]
    shown = json.loads(said(type_in("show", "1234", "--json", *topic)))
    assert [event["status"] for event in shown["events"]] == ["NEW", "RUNNING", "DONE"]


@pytest.mark.long
def test_a_job_and_a_page_of_jobs_are_shown_as_text(type_in, unique_name):
    topic = ("--topic", unique_name)
    said(type_in("produce", "1234", "5", *topic))
    said(type_in("consume", "--group", unique_name, "--timeout", "0.5", *topic))
    out = said(type_in("show", "1234", *topic))
    assert "job 1234 is DONE (version 3)" in out
    assert "There may be more: --after 5" in said(type_in("list", "--limit", "1", *topic))


@pytest.mark.long
def test_ids_are_drawn_and_failures_are_seen(type_in, unique_name):
    topic = ("--topic", unique_name)
    assert "25 jobs are NEW" in said(type_in("produce", "--count", "25", "--rate", "1000", *topic))
    words = ("--group", unique_name, "--timeout", "0.5", "--service", "constant:0.001", "--concurrency", "8")
    consumer = type_in("consume", *words, "--failing", "1", "--attempts", "1", *topic)
    out, err = consumer.communicate(timeout=90)
    assert "0 jobs processed" in out
    assert "attempt 1 was to fail" in err
    assert "0 NEW, 0 RUNNING, 0 DONE, 25 FAILED." in said(type_in("list", *topic))


@pytest.mark.long
def test_killed_consumers_leave_every_job_once_in_the_log(type_in, unique_name, tmp_path):
    """kill -9 in the middle, twice; whoever comes next finishes what is left."""
    topic = ("--topic", unique_name)
    said(type_in("produce", "--count", "150", "--rate", "5000", *topic))
    path = tmp_path / "processed_jobs.log"
    words = ("consume", "--group", unique_name, "--service", "uniform:0.001,0.015", "--log", str(path), *topic)

    def lines() -> int:
        return path.read_bytes().count(b"\n") if path.exists() else 0

    for goal in (30, 80):
        consumer = type_in(*words, "--concurrency", "4")
        wait_until(lambda goal=goal: lines() >= goal, timeout=120, what=f"{goal} jobs were to be processed")
        consumer.kill()
        consumer.wait()
    said(type_in(*words, "--timeout", "1"))
    logged = [job.job_id for job in ProcessedLog(path, unique_name).read()]
    assert len(logged) == len(set(logged)) == 150
    assert "0 NEW, 0 RUNNING, 150 DONE, 0 FAILED." in said(type_in("list", "--limit", "1", *topic))


@pytest.mark.long
def test_two_consumers_of_a_group_share_and_another_group_gets_all(type_in, unique_name, lab, tmp_path):
    topic = ("--topic", unique_name)
    words = ("consume", "--service", "constant:0.005", "--log", "jobs.log", *topic)
    one, log = f"one-{unique_name}", ProcessedLog(tmp_path / "jobs.log", "")
    with connect(lab) as topics:
        topics.create(unique_name, partitions=2)
        sharing = [type_in(*words, "--group", one), type_in(*words, "--group", one)]
        wait_until(
            lambda: [len(held) for held in topics.members(one).values()] == [1, 1],
            timeout=120,
            what="two consumers were to share the partitions",
        )
        said(type_in("produce", "--count", "60", "--rate", "5000", *topic))
        wait_until(lambda: len(list(log.read())) == 60, timeout=120, what="all jobs were to be processed")
        shares = [int(re.search(r"(\d+) jobs processed", ended(process)).group(1)) for process in sharing]
        assert sum(shares) == 60
        assert min(shares) > 0
    assert "60 jobs processed" in said(type_in(*words, "--timeout", "0.5", "--group", f"two-{unique_name}"))
    groups = [job.group for job in log.read()]
    assert (groups.count(one), len(groups)) == (60, 120)


@pytest.mark.long
def test_who_follows_is_killed_and_another_takes_over(type_in, unique_name, tmp_path):
    topic = ("--topic", unique_name)
    said(type_in("produce", "1", *topic))
    first = type_in("watch", *topic)
    assert "Watching" in first.stdout.readline()
    said(type_in("produce", "2", *topic))
    assert "job 2  NEW" in first.stdout.readline()  # so it follows
    second = type_in("watch", *topic)
    assert "Watching" in second.stdout.readline()
    said(type_in("produce", "3", *topic))
    assert "job 3  NEW" in first.stdout.readline()
    assert "job 3  NEW" in second.stdout.readline()
    first.kill()
    said(type_in("produce", "4", *topic))
    assert "job 4  NEW" in second.stdout.readline()
    ended(second)


def test_what_is_not_there_is_said(type_in, unique_name):
    topic = ("--topic", unique_name)
    assert f"There is no topic '{unique_name}' yet. `labkit jobs produce` makes it." in said(type_in("list", *topic), 1)
    said(type_in("produce", "1", *topic))
    assert "There is no job 99" in said(type_in("show", "99", *topic), 1)


@pytest.mark.long
def test_what_cannot_be_is_said(type_in, unique_name):
    topic = ("--topic", unique_name)
    assert "greater than or equal to 1" in said(type_in("produce", "0", *topic), 2)
    assert "not both" in said(type_in("produce", "1", "--count", "3", *topic), 1)
    said(type_in("produce", "1", *topic))
    err = said(type_in("list", "--status", "asleep", *topic), 1)
    assert "There is no --status 'ASLEEP'; choose one of NEW, RUNNING, DONE, FAILED." in err


def test_jobs_that_stay_failed_are_named_with_what_lists_them(type_in, unique_name):
    topic = ("--topic", unique_name)
    said(type_in("produce", "7", "8", *topic))
    words = ("consume", "--group", unique_name, "--timeout", "0.5", "--failing", "1", "--attempts", "1", *topic)
    assert f"2 of {unique_name} are dead letters: `labkit dead list --topic {unique_name}` lists them." in said(
        type_in(*words)
    )
