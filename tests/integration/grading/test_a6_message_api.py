"""The sixth assignment end to end: in the sandbox as it is graded, and on the lab as a student tries it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import labkit
from labkit.grading.assignment_folder import read_assignment
from labkit.grading.course_secret import CourseSecret
from labkit.grading.grader import Grader, Report
from labkit.grading.notebook_check import check_notebook
from labkit.grading.sandbox import Bubblewrap
from labkit.grading.visible_checks import write_checks
from labkit.lab.lab import Lab
from tests.unit.grading.a6_wrong_answers import WRONG_ANSWERS
from tests.unit.grading.notebooks import noted, write

FOLDER = Path(__file__).parents[3] / "assignments" / "source" / "a6_message_api"
SECRET = CourseSecret(b"of the tests")
#: One wrong answer to each question.
MISTAKES = {
    "q1": "another id in each process",
    "q2": "a new key for each try",
    "q3": "sleeps past the end",
    "q4": "each death is an effect",
    "q5": "any token will do",
    "q6": "looked, then put",
}

Grade = Callable[[dict[str, str]], Report]


@pytest.fixture
def grade(sandbox: Bubblewrap, tmp_path: Path) -> Grade:
    """The report on these answers, by their grade_id."""
    grader = Grader(sandbox, read_assignment(FOLDER), secret=SECRET)

    def report(answers: dict[str, str]) -> Report:
        cells = [noted(source, name, solution=True) for name, source in answers.items()]
        return grader.grade(write(tmp_path / "a.ipynb", cells), student="ada")

    return report


def sources(*, released: bool = False) -> dict[str, str]:
    assignment = read_assignment(FOLDER)
    return {
        cell.nbgrader.grade_id: cell.source
        for cell in (assignment.release if released else assignment.source)
        if cell.nbgrader and cell.nbgrader.solution and cell.kind == "code"
    }


@pytest.mark.slow
def test_the_model_has_full_marks_without_a_broker(sandbox: Bubblewrap) -> None:
    grader = Grader(sandbox, read_assignment(FOLDER), secret=SECRET)
    report = grader.grade(FOLDER / f"{FOLDER.name}.ipynb", student="ada")
    assert [(verdict.state, verdict.feedback) for verdict in report.verdicts] == [("right", ())] * 6 + [("by hand", ())]
    assert (report.points, report.possible, report.notes) == (31, 34, ())


def test_what_was_released_has_none(grade: Grade) -> None:
    report = grade(sources(released=True))
    assert report.points == 0
    assert {verdict.state for verdict in report.verdicts} == {"not run"}


@pytest.mark.slow
def test_each_wrong_answer_is_named(grade: Grade) -> None:
    planted = {(question, mistake): answer for question, mistake, _, answer in reversed(WRONG_ANSWERS)}
    report = grade({question: planted[question, mistake] for question, mistake in MISTAKES.items()})
    assert [verdict.feedback[0].mistake for verdict in report.verdicts[:6]] == list(MISTAKES.values())
    assert report.points < report.possible / 2


def test_an_app_is_checked_in_the_sandbox(sandbox: Bubblewrap, tmp_path: Path) -> None:
    write_checks(read_assignment(FOLDER), tmp_path)
    cells = [noted(source, name, solution=True) for name, source in sources().items()]
    report = check_notebook(write(tmp_path / "mine.ipynb", cells), ["q6"], sandbox=sandbox)
    assert report.passed
    assert "1 of 1 point so far, and 6 more" in str(report)


@pytest.mark.slow
def test_what_is_tried_out_on_the_lab_is_as_the_text_says(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """All cells but the checks, also those for trying out: the id that was known beforehand is the API's own."""
    monkeypatch.setattr(labkit, "open_lab", lambda: lab)
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in json.loads((FOLDER / f"{FOLDER.name}.ipynb").read_text())["cells"]:
        is_check = cell["metadata"].get("nbgrader", {}).get("grade_id", "").endswith("_check")
        if cell["cell_type"] == "code" and not is_check:
            exec("".join(cell["source"]), names)
    assert names["ids"] == [[names["message_id"](str(names["NAMESPACE"]), names["order"])]] * 2
    assert names["records"] == 1
    slow, quick = names["slow"], names["quick"]
    assert slow[:2] == quick[:2]
    assert slow[2] != quick[2]
