"""The third assignment as it is graded: the model has full marks, and what was released has none."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from labkit.grading.assignment_folder import read_assignment
from labkit.grading.course_secret import CourseSecret
from labkit.grading.grader import Grader
from labkit.grading.sandbox import Bubblewrap
from labkit.lab import Lab
from tests.integration.grading.shared_broker import SharedBroker
from tests.unit.grading.notebooks import noted, write

FOLDER = Path(__file__).parents[3] / "assignments" / "source" / "a3_job_status"
SECRET = CourseSecret(b"of the tests")


@pytest.mark.slow
def test_the_model_has_full_marks(sandbox: Bubblewrap, lab: Lab) -> None:
    grader = Grader(sandbox, read_assignment(FOLDER), secret=SECRET, brokers=SharedBroker(lab))
    report = grader.grade(FOLDER / f"{FOLDER.name}.ipynb", student=uuid4().hex)
    assert [(verdict.state, verdict.feedback) for verdict in report.verdicts] == [("right", ())] * 4 + [("by hand", ())]
    assert (report.points, report.possible, report.notes) == (20, 23, ())


def test_what_was_released_has_none_and_needs_no_broker(sandbox: Bubblewrap, tmp_path: Path) -> None:
    assignment = read_assignment(FOLDER)
    released = [
        noted(one.source, one.nbgrader.grade_id, one.kind, solution=one.nbgrader.solution)
        for one in assignment.release
        if one.nbgrader
    ]
    report = Grader(sandbox, assignment, secret=SECRET).grade(write(tmp_path / "a.ipynb", released), student="ada")
    assert report.points == 0
    assert {verdict.state for verdict in report.verdicts} == {"not run"}
