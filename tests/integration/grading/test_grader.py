"""One submission after the other is graded in the real sandbox, and whatever is in it, its report comes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import pytest
from msgspec import json

from labkit.errors import KernelEnded, SandboxUnavailable
from labkit.grading.assignment_folder import Assignment, read_assignment
from labkit.grading.course_secret import CourseSecret
from labkit.grading.grader import Grader, Report
from labkit.grading.sandbox import Conversation
from labkit.grading.sandbox.kernel import Returned
from labkit.grading.sandboxed_solution import SandboxedSolution
from tests.conditions import PATIENCE
from tests.integration.grading.conftest import Sandbox
from tests.unit.grading.notebooks import SOURCE, Cell, cell, noted, write, write_assignment

SECRET = CourseSecret(b"of the tests")
RIGHT = {"q1": "def double(x):\n    return FACTOR * x", "q2": "def twice(x):\n    return x + x"}


@pytest.fixture(scope="module")
def assignment(tmp_path_factory: pytest.TempPathFactory) -> Assignment:
    return read_assignment(write_assignment(tmp_path_factory.mktemp("source")))


@pytest.fixture
def grader(sandbox: Sandbox, assignment: Assignment) -> Grader:
    return Grader(sandbox, assignment, secret=SECRET)


def handed_in(folder: Path, *, added: Iterable[Cell] = (), **answers: str) -> Path:
    """A notebook with the model's answers, but for these."""
    cells = []
    for part in SOURCE:
        name = part["metadata"].get("nbgrader", {}).get("grade_id")
        cells.append(part | {"source": answers.get(name) or RIGHT.get(name, part["source"])})
    return write(folder / "double.ipynb", [*cells, *added])


def said(report: Report) -> dict[str, tuple[str, float, list[str]]]:
    return {
        verdict.question: (verdict.state, verdict.points, [one.mistake for one in verdict.feedback])
        for verdict in report.verdicts
    }


FULL = {"q1": ("right", 2, []), "q2": ("right", 2, []), "q3": ("by hand", 0, [])}


def test_the_model_has_full_marks(grader: Grader, tmp_path: Path) -> None:
    report = grader.grade(write(tmp_path / "model.ipynb", SOURCE), student="ada")
    assert said(report) == FULL
    assert (report.points, report.possible, report.notes) == (4, 7, ())
    assert json.decode(json.encode(report), type=Report) == report
    assert grader.grade(handed_in(tmp_path), student="ada") == report


def test_what_was_not_touched_has_none_and_starts_nothing(assignment: Assignment, tmp_path: Path) -> None:
    released = [
        {"cell_type": one.kind, "metadata": {"nbgrader": {"grade_id": one.nbgrader.grade_id}}, "source": one.source}
        for one in assignment.release
        if one.nbgrader
    ]
    report = Grader(Nothing(), assignment, secret=SECRET).grade(write(tmp_path / "a.ipynb", released), student="ada")
    assert report.points == 0
    assert said(report) == {name: ("not run", 0, ["no answer"]) for name in FULL}


class Nothing:
    """A sandbox that cannot be made."""

    def check(self) -> None:
        raise SandboxUnavailable

    def start(self, *_: object, **__: object) -> Conversation:
        raise SandboxUnavailable


def test_what_is_wrong_with_the_machine_is_no_verdict(assignment: Assignment, tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable):
        Grader(Nothing(), assignment, secret=SECRET).grade(handed_in(tmp_path), student="ada")


def test_a_file_that_is_no_notebook_is_a_report_too(grader: Grader, tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text("{")
    report = grader.grade(tmp_path / "a.ipynb", student="ada")
    assert said(report) == {name: ("not run", 0, ["broken JSON"]) for name in FULL}
    assert report.possible == 7


def test_what_is_asked_is_known_to_nobody_without_the_secret(
    sandbox: Sandbox, assignment: Assignment, tmp_path: Path
) -> None:
    file = handed_in(tmp_path, q1="def double(x): return 3 * x")
    graders = [Grader(sandbox, assignment, secret=CourseSecret(key)) for key in (b"one", b"one", b"another")]
    first, again, other = (grader.grade(file, student="ada") for grader in graders)
    assert first == again
    assert first.seed != other.seed
    assert first.verdicts[0].feedback != other.verdicts[0].feedback  # which says what was asked first
    assert CourseSecret(b"one").seed("double", "ada") not in json.encode(first).decode()


@pytest.mark.parametrize(
    ("answer", "mistakes"),
    [
        ("def double(x): return 3 * x", ["any number"]),
        ("1 / 0", ["cell failed", "no value"]),
        ("def double(x:", ["cell failed", "no value"]),
        ("def double(x): return twice(x)\nraise SystemExit", None),
        ("import os\nos._exit(0)", ["cell ended", "no value"]),
        ("def double(x):\n    import os\n    os._exit(0)", ["no value"]),
        ("def double(x):\n    import os, signal\n    os.kill(os.getppid(), signal.SIGKILL)", ["error"]),
        ("class Any(int):\n    def __eq__(self, other): return True\ndef double(x): return Any(-x)", ["any number"]),
        ("def double(x): return 'x' * 10**7", ["no value"]),
        ("import os\nos.write(71, b'{}\\n')", ["cell ended", "no value"]),
    ],
)
def test_one_answer_does_not_touch_another(
    grader: Grader, tmp_path: Path, answer: str, mistakes: list[str] | None
) -> None:
    report = said(grader.grade(handed_in(tmp_path, q1=answer), student="ada"))
    if mistakes is None:
        assert report == FULL
    else:
        assert report == FULL | {"q1": ("wrong", 0, mistakes)}


def test_what_is_not_the_student_s_to_change_comes_from_the_release(grader: Grader, tmp_path: Path) -> None:
    file = handed_in(
        tmp_path,
        given="FACTOR = 3",
        q1_check="raise SystemExit",
        added=[cell("FACTOR = 4"), noted("FACTOR = 5", "mine")],
    )
    report = grader.grade(file, student="ada")
    assert said(report) == FULL
    assert [note.mistake for note in report.notes] == ["added cells"]


def test_an_answer_that_hangs_takes_its_own_time_only(sandbox: Sandbox, tmp_path: Path) -> None:
    hasty = Grader(sandbox, read_assignment(write_assignment(tmp_path, timeout=0.5)), secret=SECRET)
    hangs = "import time\ndef double(x):\n    time.sleep(1000)"
    report = hasty.grade(handed_in(tmp_path, q1=hangs), student="ada")
    assert said(report) == FULL | {"q1": ("wrong", 0, ["no value"])}
    assert "It had not returned when the question's time, 0.5 s, was over." in report.verdicts[0].feedback[0].sentence


def test_all_that_is_asked_of_a_submission_has_an_end(sandbox: Sandbox) -> None:
    """Each look at the clock is 80 s later than the one before: the cell and three calls, and no more."""
    clock = itertools.count(0.0, 80.0)
    with SandboxedSolution(
        sandbox, [("q1", "def one(): return 1")], student="ada", seed="a/ada", clock=lambda: next(clock)
    ) as solution:
        assert [solution.call("one", (), timeout=PATIENCE) for _ in range(3)] == [Returned(1)] * 3
        with pytest.raises(KernelEnded, match="time for the whole notebook, 300 s, is over"):
            solution.call("one", (), timeout=PATIENCE)


def test_calls_go_to_another_process_when_they_are_to(sandbox: Sandbox) -> None:
    cells = [(None, "import os\ncount = []"), (None, "1 / 0"), (None, "def add(): count.append(1); return len(count)")]
    with SandboxedSolution(sandbox, cells, student="ada", seed="a/ada") as solution:
        assert [solution.call("add", (), timeout=PATIENCE) for _ in range(2)] == [Returned(1), Returned(2)]
        assert solution.read("count", timeout=PATIENCE) == Returned([1, 1])
        solution.afresh()
        assert solution.call("add", (), timeout=PATIENCE) == Returned(1)
        assert [fault.mistake for fault in solution.faults.values()] == ["cell failed"]
