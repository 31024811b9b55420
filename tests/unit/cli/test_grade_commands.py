"""`labkit grade …`: what it says of itself, and one paragraph for whatever is in its way."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path

import pytest

from labkit.cli import grade_commands, grading_session, main
from labkit.errors import BrokerFailed, SandboxUnavailable
from labkit.grading.sandbox import Bubblewrap
from tests.unit.grading.course.courses import sources

COMMANDS = ("init", "release", "collect", "auto", "feedback", "export", "stats", "demo")


@pytest.fixture
def grade(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    monkeypatch.chdir(tmp_path)

    def type_in(*words: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["labkit", "grade", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return type_in


def test_help_names_every_command_and_what_it_does(grade) -> None:
    status, out, _ = grade("--help")
    assert status == 0
    for command in COMMANDS:
        assert f"  {command} " in out
        status, told, _ = grade(command, "--help")
        assert status == 0
        assert f"grade {command}" in told


def test_without_nbgrader_it_says_how_to_get_it(grade, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grade_commands, "find_spec", lambda name: None)
    status, out, err = grade("export")
    assert (status, out) == (1, "")
    assert err.startswith("labkit: This takes nbgrader, which is not installed.")
    assert "pip install labkit[grading]" in err


@pytest.mark.parametrize(
    "words",
    [("release", "a1"), ("collect", "a1", "x"), ("auto", "a1"), ("feedback", "a1"), ("export",), ("stats", "a1")],
)
def test_outside_of_a_course_it_says_so(grade, words: tuple[str, ...]) -> None:
    status, out, err = grade(*words)
    assert (status, out) == (1, "")
    assert err.startswith("labkit: There is no course in ")
    assert err.count("\n") == 1


@pytest.mark.slow
def test_a_course_goes_from_the_assignment_to_the_points(
    grade, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a sandbox; the integration test has one."""
    source = sources(tmp_path / "assignments") / "double" / "double.ipynb"
    status, out, _ = grade("init", "course", "--assignments", "assignments")
    assert status is None or status == 0
    assert "with double." in out
    at = ("--course", "course")
    assert "was not released" in grade("auto", "double", *at)[2]
    assert "checks.json, double.ipynb." in grade("release", "double", *at)[1]
    assert "no assignment 'a9'; there are double" in grade("collect", "a9", "in", *at)[2]
    assert "Nobody has handed double in" in grade("auto", "double", *at)[2]
    (tmp_path / "in" / "ada").mkdir(parents=True)
    (tmp_path / "in" / "ada" / "double.ipynb").write_bytes(source.read_bytes())
    (tmp_path / "bad.zip").write_text("no zip file")
    status, out, _ = grade("collect", "double", "in", "bad.zip", *at)
    assert status == 1
    assert out.splitlines()[-1] == "double: 1 taken, 1 not taken."
    assert "is graded yet" in grade("stats", "double", *at)[2]
    assert "ada" in Path("course", "reports", "double.html").read_text()

    def check(self: Bubblewrap) -> None:
        raise SandboxUnavailable

    monkeypatch.setattr(Bubblewrap, "check", check)
    assert "Student code runs only in a sandbox" in grade("auto", "double", *at)[2]

    def fail(*_: object) -> None:
        raise BrokerFailed("No broker.")

    monkeypatch.setattr(grading_session, "_grader", lambda *_: fail)
    status, out, _ = grade("auto", "double", *at)
    assert status == 1
    assert out.splitlines() == [
        "ada: could not be graded. No broker.",
        "double: 0 graded, 0 graded before, 1 could not be graded (ada).",
    ]
    status, out, _ = grade("export", *at)
    assert status == 1
    assert "1 row: grades.csv\nHanded in and not graded, so without a score: ada in double." in out
    assert "has no assignment" in grade("stats", "a9", *at)[2]
    assert "was not released" in grade("export", "a9", *at)[2]
    assert util.find_spec("nbgrader") is not None
