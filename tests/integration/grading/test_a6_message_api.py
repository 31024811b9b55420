"""The sixth assignment end to end: in the sandbox as it is graded, and on the lab as a student tries it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from labkit.grading.assignment_folder import read_assignment
from labkit.grading.grader import Grader, Report
from labkit.grading.notebook_check import check_notebook
from labkit.grading.sandbox import Bubblewrap
from labkit.grading.visible_checks import write_checks
from labkit.lab.lab import Lab
from tests.integration.grading.assignment_source import SECRET, SOURCE, graded, handed_in, model_answers, tried_out
from tests.unit.grading.a6_wrong_answers import WRONG_ANSWERS

FOLDER = SOURCE / "a6_message_api"
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
    return partial(graded, sandbox, FOLDER, tmp_path / "a.ipynb")


@pytest.mark.slow
def test_the_model_has_full_marks_without_a_broker(sandbox: Bubblewrap) -> None:
    grader = Grader(sandbox, read_assignment(FOLDER), secret=SECRET)
    report = grader.grade(FOLDER / f"{FOLDER.name}.ipynb", student="ada")
    assert [(verdict.state, verdict.feedback) for verdict in report.verdicts] == [("right", ())] * 6 + [("by hand", ())]
    assert (report.points, report.possible, report.notes) == (31, 34, ())


@pytest.mark.slow
def test_each_wrong_answer_is_named(grade: Grade) -> None:
    planted = {(question, mistake): answer for question, mistake, _, answer in reversed(WRONG_ANSWERS)}
    report = grade({question: planted[question, mistake] for question, mistake in MISTAKES.items()})
    assert [verdict.feedback[0].mistake for verdict in report.verdicts[:6]] == list(MISTAKES.values())
    assert report.points < report.possible / 2


def test_an_app_is_checked_in_the_sandbox(sandbox: Bubblewrap, tmp_path: Path) -> None:
    write_checks(read_assignment(FOLDER), tmp_path)
    notebook = handed_in(tmp_path / "mine.ipynb", model_answers(FOLDER))
    report = check_notebook(notebook, ["q6"], sandbox=sandbox)
    assert report.passed
    assert "1 of 1 point so far, and 6 more" in str(report)


@pytest.mark.slow
def test_what_is_tried_out_on_the_lab_is_as_the_text_says(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """All cells but the checks, also those for trying out: the id that was known beforehand is the API's own."""
    names = tried_out(FOLDER, lab, monkeypatch)
    assert names["ids"] == [[names["message_id"](str(names["NAMESPACE"]), names["order"])]] * 2
    assert names["records"] == 1
    slow, quick = names["slow"], names["quick"]
    assert slow[:2] == quick[:2]
    assert slow[2] != quick[2]
