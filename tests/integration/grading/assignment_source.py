"""The sources of assignments, as the tests of each one end to end use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import labkit
from labkit.grading.assignment_folder import read_assignment
from labkit.grading.course_secret import CourseSecret
from labkit.grading.grader import Grader, Report
from labkit.grading.sandbox import Bubblewrap
from labkit.lab.lab import Lab
from tests.unit.grading.notebooks import noted, write

SOURCE = Path(__file__).parents[3] / "assignments" / "source"
SECRET = CourseSecret(b"of the tests")


def model_answers(folder: Path) -> dict[str, str]:
    """The code of the model solution, by its grade_id."""
    return {
        cell.nbgrader.grade_id: cell.source
        for cell in read_assignment(folder).source
        if cell.nbgrader and cell.nbgrader.solution and cell.kind == "code"
    }


def handed_in(file: Path, answers: dict[str, str]) -> Path:
    """A notebook with these answers, by their grade_id."""
    return write(file, [noted(source, name, solution=True) for name, source in answers.items()])


def graded(sandbox: Bubblewrap, folder: Path, file: Path, answers: dict[str, str]) -> Report:
    """The report on these answers, which go into this file."""
    grader = Grader(sandbox, read_assignment(folder), secret=SECRET)
    return grader.grade(handed_in(file, answers), student="ada")


def tried_out(folder: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """All cells of the model but the checks, also those for trying out, run on this lab: the names that they leave."""
    monkeypatch.setattr(labkit, "open_lab", lambda: lab)
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in json.loads((folder / f"{folder.name}.ipynb").read_text())["cells"]:
        is_check = cell["metadata"].get("nbgrader", {}).get("grade_id", "").endswith("_check")
        if cell["cell_type"] == "code" and not is_check:
            exec("".join(cell["source"]), names)
    return names
