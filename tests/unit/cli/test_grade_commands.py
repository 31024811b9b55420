"""`labkit grade …`: what it says of itself, and one paragraph for whatever is in its way."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path

import pytest

from labkit.cli import grade_commands, grading_session, main
from labkit.errors import BrokerFailed, SandboxUnavailable
from labkit.grading.sandbox import Bubblewrap, ContainerEngine
from tests.unit.grading.course import courses
from tests.unit.grading.course.courses import sources

COMMANDS = ("init", "release", "collect", "auto", "worker", "feedback", "export", "stats", "demo")


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


@pytest.mark.parametrize("words", [("export",), ("init",), ("demo",)])
@pytest.mark.parametrize(
    ("there", "said"),
    [
        ((), "nbgrader and copydetect, which are not installed."),
        (("copydetect",), "nbgrader, which is not installed."),
        (("nbgrader",), "copydetect, which is not installed."),
    ],
)
def test_without_its_libraries_it_says_how_to_get_them(
    grade, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], there: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(grade_commands, "find_spec", lambda name: name in there or None)
    status, out, err = grade(*words)
    assert (status, out) == (1, "")
    assert err.startswith(f"labkit: This takes {said}")
    assert "pip install labkit[grading]" in err
    assert err.count("\n") == 1
    assert list(Path().iterdir()) == []


def test_a_worker_without_its_library_a_folder_or_a_sandbox_says_so(
    grade, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def check(self: Bubblewrap) -> None:
        raise SandboxUnavailable

    monkeypatch.setattr(Bubblewrap, "check", lambda _: None)
    status, _, err = grade("worker", "--files", str(tmp_path / "none"))
    assert status == 1
    assert err.startswith(f"labkit: There is no folder {tmp_path / 'none'}. ")
    monkeypatch.setattr(Bubblewrap, "check", check)
    monkeypatch.setenv("LABKIT_SANDBOX", "bubblewrap")
    assert grade("worker", "--files", str(tmp_path))[2].startswith("labkit: Student code runs only in a sandbox")
    monkeypatch.setattr(grade_commands, "find_spec", lambda name: None if name == "fsspec" else name)
    assert grade("worker", "--files", "x")[2].startswith("labkit: This takes fsspec, which is not installed.")


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

    def check(self: object) -> None:
        raise SandboxUnavailable

    for kind in (Bubblewrap, ContainerEngine):
        monkeypatch.setattr(kind, "check", check)
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


CLASS = """
students.ada = {answers.q1 = "%s"}
students.ben = {answers.q1 = "right"}
"""


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Shows the demo without a sandbox, on a class of two: with this answer of one of them, and this trouble with the
    feedback. Returns whether all could be done, and what was said.
    """
    from labkit.cli import grading_demo

    sources(tmp_path / "source")
    file = tmp_path / "demo" / "double.toml"
    file.parent.mkdir()
    monkeypatch.setattr(grading_demo, "open_in_browser", lambda _: False)
    monkeypatch.setattr(Bubblewrap, "check", lambda _: None)
    monkeypatch.setattr(grading_session, "_grader", lambda *_: courses.grade)

    def show(answer: str = "right", trouble: BaseException | None = None) -> tuple[bool | None, str]:
        def give_back(*_: object) -> list[Path]:
            if trouble is not None:
                raise trouble
            return [Path("page.html")]

        monkeypatch.setattr(grading_demo, "make_feedback", give_back)
        file.write_text(CLASS % answer)
        try:
            is_whole = grading_demo.show_demo(tmp_path / "course", file, concurrency=2)
        except KeyboardInterrupt:
            is_whole = None
        return is_whole, capsys.readouterr().out

    return show


@pytest.mark.slow
def test_the_demo_ends_with_its_report(demo, tmp_path: Path) -> None:
    is_whole, out = demo()
    assert is_whole
    page = tmp_path / "course" / "reports" / "double.html"
    assert f"Class report: {page}\n" in out
    assert page.is_file()
    assert "To try again" not in out


@pytest.mark.slow
def test_the_demo_says_what_could_not_be_done_and_writes_its_report(demo, tmp_path: Path) -> None:
    from labkit.grading.course.course_errors import ConversionFailed

    is_whole, out = demo("broken", ConversionFailed("No page."))
    assert is_whole is False
    assert "No page.\n" in out
    there = f"To try again: cd {tmp_path / 'course'}, and `labkit grade"
    assert f"Not graded: ada. {there} auto double`.\n" in out
    assert f"The feedback is not whole. {there} feedback double`.\n" in out
    assert (tmp_path / "course" / "reports" / "double.html").is_file()


@pytest.mark.slow
def test_after_ctrl_c_the_demo_says_how_to_go_on(demo, tmp_path: Path) -> None:
    is_whole, out = demo(trouble=KeyboardInterrupt())
    assert is_whole is None
    assert out.endswith(
        f"The course stays. To go on: cd {tmp_path / 'course'}, and `labkit grade auto double`, "
        "`labkit grade feedback double`, `labkit grade stats double`.\n"
    )
