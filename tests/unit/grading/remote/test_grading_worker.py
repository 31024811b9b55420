"""What a worker does with a task: whatever is in its way is waited for, or told to who asked, and is nobody's mark."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from labkit.errors import BadAssignment, BrokerFailed, SandboxUnavailable, SettingsError
from labkit.grading.grader import Report
from labkit.grading.remote.graded_work import GradingTask, kept_report
from labkit.grading.remote.grading_worker import DEATHS, LONGEST_PAUSE
from tests.unit.grading.remote.fakes import Grader, World


@pytest.fixture
def task(world: World) -> GradingTask:
    """What is sent of ada's notebook."""
    world.then.append(world.asking.close)
    with pytest.raises(Exception, match="not waited for"):
        world.ask()
    (sent,) = world.queue.messages.values()
    return sent


def perform(world: World, task: GradingTask) -> None:
    world.worker(task.version, task.assignment, task.submission)


def reason(world: World, task: GradingTask) -> str:
    return world.queue.failed[task.key].reason


def test_a_task_that_comes_twice_is_graded_once(world: World, task: GradingTask) -> None:
    perform(world, task)
    perform(world, task)
    assert Grader.calls == 1
    assert world.queue.ended == [task.key] * 2
    assert not world.queue.failed


def test_files_that_are_away_and_a_full_disk_are_waited_for_and_said_once(
    world: World, task: GradingTask, caplog: pytest.LogCaptureFixture
) -> None:
    world.files.failures, world.files.full = 5, 5
    perform(world, task)
    report = kept_report(world.files, task)
    assert report is not None
    assert (report.student, Grader.calls) == ("ada", 1)
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert ["waits for" in line for line in warned] == [True, False, True, False]


def test_a_folder_that_cannot_be_used_any_more_is_waited_for(
    world: World, task: GradingTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [SettingsError("There is no folder."), world.files]

    def opened() -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(world.worker, "_open", opened)
    perform(world, task)
    assert kept_report(world.files, task) is not None


def test_whose_processes_end_again_and_again_is_given_up_until_it_is_sent_again(
    world: World, task: GradingTask
) -> None:
    for _ in range(DEATHS):
        world.queue.begin(task.key)  # and nothing more is heard of it
    perform(world, task)
    assert f"have ended {DEATHS} times" in reason(world, task)
    perform(world, task)  # it died again, before the message was acknowledged
    assert Grader.calls == 0
    world.queue.send(task)
    perform(world, task)
    assert kept_report(world.files, task) is not None


@pytest.mark.parametrize("kind", ["assignment", "submission"])
def test_what_is_not_in_the_files_is_named(world: World, task: GradingTask, kind: str) -> None:
    (file,) = world.files.folder.glob(f"{kind}-*")
    digest = getattr(task, kind)[:12]
    for content in (b"{}", None):
        file.write_bytes(content) if content else file.unlink()
        world.queue.send(task)
        perform(world, task)
        assert f"{world.files.name} has no {kind} {digest}, or a damaged one" in reason(world, task)
    assert kept_report(world.files, task) is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SandboxUnavailable("No sandbox."), "No sandbox. (On "),
        (BrokerFailed("No broker."), "No broker. (On "),
        (MemoryError("for this"), "MemoryError: for this (On "),
        (BadAssignment("A bad question."), "A bad question. (On "),
    ],
)
def test_what_the_machine_does_wrong_is_told_and_is_no_report(
    world: World,
    task: GradingTask,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    said: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Grader, "grade", fail)
    perform(world, task)
    assert reason(world, task).startswith(said)
    assert kept_report(world.files, task) is None


def test_a_worker_that_fails_again_and_again_takes_less_and_less(
    world: World, task: GradingTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    works, grade = False, Grader.grade

    def fail_or_grade(self: Grader, notebook: Path, *, student: str) -> Report:
        if not works:
            raise SandboxUnavailable("No sandbox.")
        return grade(self, notebook, student=student)

    monkeypatch.setattr(Grader, "grade", fail_or_grade)

    def pause_after() -> float:
        before = world.clock.now
        world.queue.send(task)
        perform(world, task)
        return world.clock.now - before

    assert [pause_after() for _ in range(8)] == [5, 10, 20, 40, 80, 160, LONGEST_PAUSE, LONGEST_PAUSE]
    works = True
    assert pause_after() == 0
    works = False
    for file in world.files.folder.glob("report-*"):
        file.unlink()
    assert pause_after() == 5


def test_a_work_folder_that_somebody_has_deleted_is_made_anew(world: World, task: GradingTask, tmp_path: Path) -> None:
    world.worker._folder = tmp_path / "deleted"
    perform(world, task)
    assert kept_report(world.files, task) is not None


@pytest.mark.parametrize("names", [("v", "a", "b"), (1, 2, 3), ("v", "0" * 64, "../../etc/passwd")])
def test_a_message_that_names_nothing_is_dropped(world: World, names: tuple[object, ...]) -> None:
    world.worker(*names)
    assert world.queue.ended == []
