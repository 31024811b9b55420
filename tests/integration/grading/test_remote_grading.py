"""Grading over workers, over a real Redis and in the real sandbox: the same marks, whatever dies meanwhile."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labkit.grading.course.grading_run import ATTEMPTS
from labkit.grading.remote.grading_worker import DEATHS
from labkit.grading.sandbox import Bubblewrap
from labkit.taskqueue.timeouts import wait_until
from tests.acceptance.commands import outcome
from tests.conditions import PATIENCE
from tests.integration.grading.remote_course import RIGHT, SLOW, WRONG, RemoteCourse, at_work
from tests.integration.own_redis import OwnRedis

Made = Callable[..., RemoteCourse]

A1 = "a1_topics_and_producer"
#: What is said of a submission of each kind.
ALL, HALF = "4 of 7 points, and q3 by hand", "2 of 7 points, and q3 by hand"


@pytest.fixture
def made(sandbox: Bubblewrap, own_redis: OwnRedis, tmp_path: Path) -> Iterator[Made]:
    """Makes a course with these answers."""
    courses: list[RemoteCourse] = []

    def make(name: str = "c", **answers: str) -> RemoteCourse:
        (tmp_path / name).mkdir()
        courses.append(RemoteCourse(tmp_path / name, own_redis.url, answers))
        return courses[-1]

    yield make
    for course in courses:
        course.end()


def lines(run: subprocess.Popen[str], *statuses: int) -> list[str]:
    """What it says of the students, when it has ended with one of these statuses, or with 0."""
    return sorted(line for line in outcome(run, *statuses)[0].splitlines() if not line.startswith("double: "))


def test_workers_give_the_marks_that_are_given_here_and_none_is_needed_again(made: Made) -> None:
    remote = made(ada=RIGHT, ben=WRONG, cid="import os\nos._exit(0)", dan=RIGHT)
    (remote.course.submitted("dan", "double") / "double.ipynb").write_text("{")
    worker = remote.worker(2)
    said = lines(remote.auto())
    assert said == [f"ada: {ALL}", f"ben: {HALF}", f"cid: {HALF}", "dan: 0 of 7 points"]
    found = remote.reports()
    assert found.keys() == {"ada", "ben", "cid", "dan"}
    worker.send_signal(signal.SIGINT)
    out, err = outcome(worker)
    assert out.endswith(" has ended.\n")
    assert err == ""
    for again in (remote.auto, remote.here):  # nobody else grades, and the reports are there; then this machine does
        shutil.rmtree(remote.course.root / "reports")
        assert lines(again()) == said
        assert remote.reports() == found


@pytest.mark.parametrize("way", ["killed", pytest.param("interrupted twice", marks=pytest.mark.long)])
def test_what_a_worker_had_that_ends_in_the_middle_is_graded_by_another(made: Made, way: str) -> None:
    remote = made(ada=SLOW, ben=RIGHT)
    first = remote.worker(2)
    run = remote.auto()
    at_work(first)
    if way == "killed":
        first.kill()
        first.wait()
    else:
        first.send_signal(signal.SIGINT)
        assert first.stdout is not None
        assert "Ctrl-C again gives it back" in first.stdout.readline()
        first.send_signal(signal.SIGINT)
        assert outcome(first, 130)[0].endswith(" gave back what it had not graded.\n")
    remote.worker(2)
    assert lines(run) == [f"ada: {ALL}", f"ben: {ALL}"]


def test_the_folder_may_go_away_and_come_back(made: Made) -> None:
    remote = made(ada=SLOW)
    worker = remote.worker()
    run = remote.auto()
    at_work(worker)
    away = remote.files.rename(remote.folder / "away")
    for one, who in ((worker, "labkit: A worker that grades"), (run, "labkit")):
        assert one.stderr is not None
        assert one.stderr.readline().startswith(f"{who} waits for the files or Redis, ")
    away.rename(remote.files)
    assert lines(run) == [f"ada: {ALL}"]


def test_who_asks_may_be_killed_and_asks_again(made: Made) -> None:
    """It waits for a worker, is killed, and begins anew, first by a kill and then by Ctrl-C."""
    remote = made(ada=RIGHT, ben=WRONG)
    killed = remote.auto()
    wait_until(lambda: remote.sent() == 2, timeout=PATIENCE, what="both were to be sent")
    killed.kill()
    killed.wait()
    interrupted = remote.auto()
    assert interrupted.stderr is not None
    assert interrupted.stderr.readline().startswith("labkit waits for a worker that grades, ")
    interrupted.send_signal(signal.SIGINT)
    out, _ = outcome(interrupted, 130)
    assert f"`labkit grade auto double --files {remote.files}` goes on." in out
    worker = remote.worker()
    assert lines(remote.auto()) == [f"ada: {ALL}", f"ben: {HALF}"]
    worker.send_signal(signal.SIGINT)
    outcome(worker)


@pytest.mark.long
def test_two_courses_on_one_redis_have_workers_of_their_own(made: Made) -> None:
    one, other = made("one", ada=RIGHT), made("other", ada=WRONG)
    one.worker()
    waits = other.auto()
    assert waits.stderr is not None
    assert waits.stderr.readline().startswith("labkit waits for a worker that grades, ")
    assert lines(one.auto()) == [f"ada: {ALL}"]
    other.worker()
    assert lines(waits) == [f"ada: {HALF}"]


@pytest.mark.parametrize("state", ["killed", pytest.param("emptied", marks=pytest.mark.long)])
def test_redis_may_go_away_and_come_back(made: Made, own_redis: OwnRedis, state: str) -> None:
    remote = made(ada=SLOW, ben=RIGHT)
    worker = remote.worker()
    run = remote.auto()
    at_work(worker)
    with getattr(own_redis, state)():
        assert run.stderr is not None
        assert run.stderr.readline().startswith("labkit waits for the files or Redis, ")
    assert lines(run) == [f"ada: {ALL}", f"ben: {ALL}"]


@pytest.mark.long
def test_what_kills_its_process_again_and_again_is_given_up_and_nobody_else(made: Made) -> None:
    remote = made(ada=RIGHT, poison=SLOW)
    worker = remote.worker()
    run = remote.auto("--concurrency", "1")
    assert run.stdout is not None
    assert run.stdout.readline() == f"ada: {ALL}\n"
    for _ in range(DEATHS * ATTEMPTS):
        (process,) = at_work(worker)
        process.kill()
        process.wait(PATIENCE)
    (said,) = lines(run, 1)
    assert said.startswith(f"poison: could not be graded. The processes that graded it have ended {DEATHS} times.")
    assert remote.reports().keys() == {"ada"}
    assert lines(remote.auto()) == [f"poison: {ALL}"]


@pytest.mark.long
def test_what_hangs_is_ended_and_given_up_in_the_end(made: Made) -> None:
    remote = made(ada=SLOW, ben=RIGHT)
    worker = remote.worker(2, limit=5)
    (ada, ben) = lines(remote.auto(), 1)
    assert ada.startswith(f"ada: could not be graded. The processes that graded it have ended {DEATHS} times.")
    assert ben == f"ben: {ALL}"
    worker.send_signal(signal.SIGINT)
    outcome(worker)


@pytest.mark.long
def test_code_that_works_on_a_broker_has_one_on_the_worker_s_machine(made: Made) -> None:
    remote = made(ada=RIGHT)
    remote.add(A1)
    remote.worker()
    run = remote.auto(name=A1)
    asked = remote.course.assignment(A1)
    assert any(question.name == "behaviour" for question in asked.questions)
    most = sum(question.points for question in asked.questions)
    (said,) = [line for line in outcome(run)[0].splitlines() if line.startswith("model: ")]
    assert said.startswith(f"model: {most:g} of ")
