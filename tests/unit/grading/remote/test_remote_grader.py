"""Who asks gets a report, whatever becomes of workers, of Redis and of the files meanwhile."""

from __future__ import annotations

import logging

import pytest
from msgspec import json
from msgspec.structs import replace

from labkit.errors import GradingFailed
from labkit.grading.question_verdict import Feedback
from labkit.grading.remote.graded_work import NamedReport, keep_report, kept_report
from labkit.grading.remote.grading_queue import FailedGrading
from labkit.grading.remote.remote_grader import LOOKS, MOST_SENT, NOBODY, UNSEEN
from tests.unit.grading.remote.fakes import Grader, World, nothing

POINTS = 4


def test_a_worker_grades_it_once_and_then_the_report_is_there(world: World) -> None:
    world.then.append(world.work)
    report = world.ask()
    assert (report.student, report.points) == ("ada", POINTS)
    assert world.ask() == report
    assert (Grader.calls, len(world.queue.sent)) == (1, 1)


def test_another_student_s_or_another_version_s_is_another_report(world: World) -> None:
    world.then.append(world.work)
    world.ask()
    world.then.append(world.work)
    assert world.asking.grade(world.notebook, "ben").student == "ben"
    world.queue.version = "0+there"
    world.then.append(world.work)
    world.ask()
    assert (Grader.calls, len(set(world.queue.sent))) == (3, 3)


def test_a_report_is_taken_also_while_its_message_is_still_there(world: World) -> None:
    def graded_and_not_acknowledged() -> None:
        (task,) = world.queue.messages.values()
        world.worker(task.version, task.assignment, task.submission)

    world.then += [graded_and_not_acknowledged, *[nothing] * LOOKS]
    assert world.ask().points == POINTS


def test_who_handed_in_no_file_needs_no_worker(world: World) -> None:
    world.notebook.unlink()
    report = world.ask()
    assert {verdict.state for verdict in report.verdicts} == {"not run"}
    assert world.queue.sent == []


@pytest.mark.parametrize(
    ("workers", "said"),
    [((), "`labkit grade worker --files FOLDER`"), (("w 0+other",), "another labkit than 0+here: w 0+other.")],
)
def test_that_there_is_no_worker_is_said_once_and_waited_for(
    world: World, caplog: pytest.LogCaptureFixture, workers: tuple[str, ...], said: str
) -> None:
    here, world.queue.workers = world.queue.workers, workers
    seconds = [nothing] * (3 * int(NOBODY))
    world.then += [*seconds, lambda: setattr(world.queue, "workers", here), nothing, world.work]
    assert world.ask().points == POINTS
    first, last = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert first.startswith("labkit waits for a worker that grades, and submissions wait with it: ")
    assert said in first
    assert last == "labkit goes on: a worker that grades answers again"


def test_what_failed_is_told_and_an_earlier_failure_is_not_taken_for_it(world: World) -> None:
    def fail(reason: str) -> None:
        (key,) = world.queue.messages
        world.queue.failed[key] = FailedGrading(reason=reason)

    world.then.append(lambda: fail("No sandbox."))
    with pytest.raises(GradingFailed, match="No sandbox"):
        world.ask()
    world.then += [nothing, world.lose, lambda: fail("A bad question.")]  # the message was there
    with pytest.raises(GradingFailed, match="A bad question"):
        world.ask()
    world.lose()
    world.then.append(world.work)
    assert world.ask().points == POINTS
    assert len(world.queue.sent) == 3


def test_redis_away_is_waited_for_and_said_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def be(away: bool) -> None:
        world.queue.away = away

    world.then += [lambda: be(True), nothing, nothing, lambda: be(False), world.work]
    assert world.ask().points == POINTS
    said = [record.getMessage() for record in caplog.records]
    assert [line.partition(":")[0] for line in said] == [
        "labkit waits for the files or Redis, and submissions wait with it",
        "labkit goes on",
    ]
    assert len(world.queue.sent) == 1


def test_files_that_are_away_or_full_are_waited_for(world: World) -> None:
    world.files.failures, world.files.full = 3, 2
    world.then += [*[nothing] * 6, world.work]
    assert world.ask().points == POINTS


def test_what_redis_has_lost_is_sent_again_after_a_while(world: World) -> None:
    world.then += [world.lose, *[nothing] * (int(UNSEEN) - 2)]
    world.then += [lambda: world.queue.sent.append("not yet"), nothing, nothing, world.work]
    assert world.ask().points == POINTS
    assert world.queue.sent[1] == "not yet"
    assert len(world.queue.sent) == 3


def test_nothing_is_sent_without_end(world: World) -> None:
    world.then += [world.lose] * 1000
    with pytest.raises(GradingFailed, match=f"{MOST_SENT} times, and nothing has come of it"):
        world.ask()
    assert len(world.queue.sent) == MOST_SENT


def test_what_is_no_report_on_it_is_none(world: World) -> None:
    world.then.append(world.work)
    report = world.ask()
    (file,) = world.files.folder.glob("report-*")
    named = json.decode(file.read_bytes(), type=NamedReport)
    other = replace(named.task, submission="0" * 64)
    for content in (b"{", b"", json.encode(NamedReport(task=other, report=report)), file.read_bytes()[:-10]):
        file.write_bytes(content)
        assert kept_report(world.files, named.task) is None
        world.then.append(world.work)
        assert world.ask() == report
    assert Grader.calls == 5
    keep_report(world.files, named.task, replace(report, notes=(Feedback("later", "It came second."),)))
    assert world.ask() == report
    file.write_bytes(json.encode(replace(named, report=replace(report, student="ben"))))
    with pytest.raises(GradingFailed, match="is on another submission"):
        world.ask()


def test_close_ends_the_wait_and_the_report_is_there_the_next_time(world: World) -> None:
    world.then.append(world.asking.close)
    with pytest.raises(GradingFailed, match="not waited for any more"):
        world.ask()
    world.work()
    world.asking._closed.clear()
    assert world.ask().points == POINTS
    assert len(world.queue.sent) == 1
