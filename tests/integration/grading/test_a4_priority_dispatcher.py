"""The fourth assignment end to end: in the sandbox as it is graded, and on the lab as a student tries it."""

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
from tests.unit.grading.a4_wrong_answers import SLEEPS, WRONG_ANSWERS

FOLDER = SOURCE / "a4_priority_dispatcher"
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
    return partial(graded, sandbox, FOLDER, tmp_path / "a.ipynb")


@pytest.mark.slow
def test_the_model_has_full_marks_without_a_broker(sandbox: Bubblewrap) -> None:
    grader = Grader(sandbox, read_assignment(FOLDER), secret=SECRET)
    report = grader.grade(FOLDER / f"{FOLDER.name}.ipynb", student="ada")
    assert [(verdict.state, verdict.feedback) for verdict in report.verdicts] == [("right", ())] * 6 + [("by hand", ())]
    assert (report.points, report.possible, report.notes) == (30, 33, ())


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
    report = grade(model_answers(FOLDER) | {"q5": waits})
    verdict = report.verdicts[4]
    assert (verdict.points, verdict.feedback[0].mistake) == (0, "waits or sleeps")


def test_a_policy_is_checked_in_the_sandbox(sandbox: Bubblewrap, tmp_path: Path) -> None:
    write_checks(read_assignment(FOLDER), tmp_path)
    notebook = handed_in(tmp_path / "mine.ipynb", model_answers(FOLDER))
    report = check_notebook(notebook, ["q5"], sandbox=sandbox)
    assert report.passed
    assert "3 of 3 points so far, and 5 more" in str(report)


def test_what_is_tried_out_on_the_lab_is_as_the_text_says(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """All cells but the checks, also those for trying out."""
    names = tried_out(FOLDER, lab, monkeypatch)
    assert names["in_celery"] >= 8
    longest = {name: names["waits_of"](records)["max"]["low"] for name, records in names["under"].items()}
    assert longest["mine"] < longest["strict"]
