"""The fourth assignment end to end: in the sandbox as it is graded, and on the lab as a student tries it."""

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
from tests.unit.grading.a4_wrong_answers import SLEEPS, WRONG_ANSWERS
from tests.unit.grading.notebooks import noted, write

FOLDER = Path(__file__).parents[3] / "assignments" / "source" / "a4_priority_dispatcher"
SECRET = CourseSecret(b"of the tests")
#: One wrong answer to each question.
MISTAKES = {
    "q1": "LLEN of one level only",
    "q2": "check, then send",
    "q3": "commit of all that was read",
    "q4": "in order of arrival",
    "q5": "another answer each time",
    "q6": "one for one",
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
    assert (report.points, report.possible, report.notes) == (30, 33, ())


def test_what_was_released_has_none(grade: Grade) -> None:
    report = grade(sources(released=True))
    assert report.points == 0
    assert {verdict.state for verdict in report.verdicts} == {"not run"}


@pytest.mark.long
@pytest.mark.slow
def test_each_wrong_answer_is_named_and_always_the_same(grade: Grade) -> None:
    planted = {(question, mistake): answer for question, mistake, _, answer in reversed(WRONG_ANSWERS)}
    answers = {question: planted[question, mistake] for question, mistake in MISTAKES.items()}
    report = grade(answers)
    assert [verdict.feedback[0].mistake for verdict in report.verdicts[:6]] == list(MISTAKES.values())
    assert report.points < report.possible / 3
    assert grade(answers) == report


@pytest.mark.slow
@pytest.mark.long
def test_a_policy_that_waits_is_not_waited_for(grade: Grade) -> None:
    waits = SLEEPS.replace("import time", "from threading import Event").replace(
        "time.sleep(0.01)", "Event().wait(1.0)"
    )
    report = grade(sources() | {"q5": waits})
    verdict = report.verdicts[4]
    assert (verdict.points, verdict.feedback[0].mistake) == (0, "waits or sleeps")


def test_a_policy_is_checked_in_the_sandbox(sandbox: Bubblewrap, tmp_path: Path) -> None:
    write_checks(read_assignment(FOLDER), tmp_path)
    cells = [noted(source, name, solution=True) for name, source in sources().items()]
    report = check_notebook(write(tmp_path / "mine.ipynb", cells), ["q5"], sandbox=sandbox)
    assert report.passed
    assert "3 of 3 points so far, and 5 more" in str(report)


def test_what_is_tried_out_on_the_lab_is_as_the_text_says(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """All cells but the checks, also those for trying out."""
    monkeypatch.setattr(labkit, "open_lab", lambda: lab)
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in json.loads((FOLDER / f"{FOLDER.name}.ipynb").read_text())["cells"]:
        is_check = cell["metadata"].get("nbgrader", {}).get("grade_id", "").endswith("_check")
        if cell["cell_type"] == "code" and not is_check:
            exec("".join(cell["source"]), names)
    assert names["in_celery"] >= 8
    longest = {name: names["waits_of"](records)["max"]["low"] for name, records in names["under"].items()}
    assert longest["mine"] < longest["strict"]
