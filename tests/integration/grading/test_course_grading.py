"""A course end to end: the first assignment released, handed in twice, graded in the sandbox, given back.

The model and what was not touched, on the command line as an instructor types it.
"""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.cli import main
from labkit.grading.sandbox import Bubblewrap
from labkit.grading.visible_checks import read_checks

A1 = "a1_topics_and_producer"


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
    assert "model: 21 of 24 points, and q6 by hand" in said
    assert "untouched: 0 of 24 points" in said
    assert "2 graded, 0 graded before, 10.5 of 24 points on average, 1 answer to grade by hand." in said
    assert "0 graded, 2 graded before" in grade("auto", A1)
    assert "2 pages" in grade("feedback", A1)
    assert "The cell q1 is as it was handed out." in Path("feedback", "untouched", A1, f"{A1}.html").read_text()
    assert "50%" in grade("stats", A1)
    grade("export")
    with Path("grades.csv").open() as file:
        rows = {row["student_id"]: (row["score"], row["needs_manual_grade"]) for row in csv.DictReader(file)}
    assert rows == {"model": ("21.0", "True"), "untouched": ("0.0", "False")}
