"""A course end to end: the first assignment released, handed in twice, graded in the sandbox, given back.

The model and what was not touched, on the command line as an instructor types it.
"""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.cli import grading_demo, main
from labkit.grading.assignment_folder import read_assignment
from labkit.grading.sandbox import Bubblewrap
from labkit.grading.visible_checks import read_checks
from tests.unit.grading.course.courses import sources

A1, A2 = "a1_topics_and_producer", "a2_task_queue"
PLANTED = Path(__file__).with_name("planted") / A2


@pytest.fixture
def grade(sandbox: Bubblewrap, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def type_in(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["labkit", "grade", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert ended.value.code in (0, None), said.err
        return said.out

    return type_in


def points(assignment: str) -> tuple[float, float]:
    """What a program gives the model, and what there is."""
    read = read_assignment(Path("source", assignment))
    by_program = sum(question.points for question in read.questions)
    return by_program, by_program + sum(cell.nbgrader.points for cell in read.by_hand() if cell.nbgrader)


def test_a_course_goes_from_nothing_to_points(
    grade: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grade("init", str(tmp_path / "course"))
    monkeypatch.chdir(tmp_path / "course")
    grade("release", A1)
    assert read_checks(Path("release", A1)).name == A1
    for student, step in (("model", "source"), ("untouched", "release")):
        (tmp_path / "in" / student).mkdir(parents=True)
        shutil.copy(Path(step, A1, f"{A1}.ipynb"), tmp_path / "in" / student)
    assert "2 taken" in grade("collect", A1, str(tmp_path / "in"))
    said = grade("auto", A1)
    most, possible = points(A1)
    assert f"model: {most:g} of {possible:g} points, and " in said
    assert f"untouched: 0 of {possible:g} points\n" in said
    assert f"2 graded, 0 graded before, {most / 2:.1f} of {possible:g} points on average, " in said
    assert "0 graded, 2 graded before" in grade("auto", A1)
    assert "2 pages" in grade("feedback", A1)
    assert "The cell q1 is as it was handed out." in Path("feedback", "untouched", A1, f"{A1}.html").read_text()
    assert "50%" in grade("stats", A1)
    grade("export")
    with Path("grades.csv").open() as file:
        rows = {row["student_id"]: (row["score"], row["needs_manual_grade"]) for row in csv.DictReader(file)}
    assert rows == {"model": (f"{most:.1f}", "True"), "untouched": ("0.0", "False")}


CLASS = """
absent = ["late"]
students.model = {others = "model"}
students.untouched = {}
students.wrong = {others = "model", answers.q2 = "def twice(x): return x * x"}
students.process_ended = {others = "model", answers.q1 = "import os; os._exit(0)"}
students.damaged = {file = "{"}
"""


def test_the_demo_grades_a_class_and_opens_its_report(
    sandbox: Bubblewrap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A class of an assignment that takes no broker; the long test on the command line has the real one."""
    opened: list[str] = []
    monkeypatch.setattr(grading_demo, "open_in_browser", opened.append)
    sources(tmp_path / "assignments" / "source")
    (tmp_path / "assignments" / "demo").mkdir()
    declared = tmp_path / "assignments" / "demo" / "double.toml"
    declared.write_text(CLASS)
    grading_demo.show_demo(tmp_path / "course", declared, concurrency=2)
    said = capsys.readouterr().out
    page = tmp_path / "course" / "reports" / "double.html"
    assert opened == [page.as_uri()]
    assert f"Class report: {page}\n" in said
    for line in (
        "model: 4 of 7 points, and q3 by hand",
        "untouched: 0 of 7 points",
        "wrong: 2 of 7 points, and q3 by hand",
        "process_ended: 2 of 7 points, and q3 by hand",
        "damaged: 0 of 7 points",
    ):
        assert f"{line}\n" in said
    assert "double: 5 graded, " in said
    assert "5 pages of feedback" in said
    shown = page.read_text()
    assert '<a href="../feedback/wrong/double/double.html">wrong</a>' in shown
    assert "<tr><th>handed in nothing</th><td>late</td></tr>" in shown


@pytest.mark.long
def test_a_run_that_is_killed_goes_on_where_it_was(
    grade: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kill comes when the gradebook has a further submission, while others are under way."""
    grade("init", str(tmp_path / "course"))
    monkeypatch.chdir(tmp_path / "course")
    grade("release", A1)
    students = [f"s{number}" for number in range(6)]
    for student in students:
        (tmp_path / "in" / student).mkdir(parents=True)
        shutil.copy(Path("source", A1, f"{A1}.ipynb"), tmp_path / "in" / student)
    grade("collect", A1, str(tmp_path / "in"))
    (most, possible), told = points(A1), list[str]()
    for _ in range(3):
        command = [sys.executable, "-m", "labkit", "grade", "auto", A1]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            told.append(run.stdout.readline().partition(":")[0])
            run.send_signal(signal.SIGKILL)
    told += [line.partition(":")[0] for line in grade("auto", A1).splitlines()[:-1]]
    assert len(told) == len(set(told))  # what was told was kept
    assert f"0 graded, {len(students)} graded before, {most:.1f} of {possible:g} points on average" in grade("auto", A1)
    assert sorted(file.stem for file in Path("reports", A1).glob("*.json")) == students


@pytest.mark.long
def test_workers_are_graded_on_brokers_of_their_own(
    grade: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grade("init", str(tmp_path / "course"))
    monkeypatch.chdir(tmp_path / "course")
    grade("release", A2)
    notebook = json.loads(Path("source", A2, f"{A2}.ipynb").read_text())
    for student in ("model", "wrong"):
        (tmp_path / "in" / student).mkdir(parents=True)
        (tmp_path / "in" / student / "a2.ipynb").write_text(json.dumps(notebook))
        for cell in notebook["cells"]:
            if cell["metadata"].get("nbgrader", {}).get("grade_id") == "q2":
                cell["source"] = (PLANTED / "q2" / "commit_first.py").read_text()
    grade("collect", A2, str(tmp_path / "in"))
    said = grade("auto", A2)
    (most, possible) = points(A2)
    assert f"model: {most:g} of {possible:g} points" in said
    assert f"wrong: {most:g} of {possible:g} points" not in said
    assert "was committed as done while it was still in hand" in grade("stats", A2)
