"""The third assignment as it is graded: the model has full marks."""

from __future__ import annotations

from uuid import uuid4

import pytest

from labkit.grading.assignment_folder import read_assignment
from labkit.grading.grader import Grader
from labkit.grading.sandbox import Bubblewrap
from labkit.lab import Lab
from tests.integration.grading.assignment_source import SECRET, SOURCE
from tests.integration.grading.shared_broker import SharedBroker

FOLDER = SOURCE / "a3_job_status"


@pytest.mark.slow
def test_the_model_has_full_marks(sandbox: Bubblewrap, lab: Lab) -> None:
    grader = Grader(sandbox, read_assignment(FOLDER), secret=SECRET, brokers=SharedBroker(lab))
    report = grader.grade(FOLDER / f"{FOLDER.name}.ipynb", student=uuid4().hex)
    assert [(verdict.state, verdict.feedback) for verdict in report.verdicts] == [("right", ())] * 4 + [("by hand", ())]
    assert (report.points, report.possible, report.notes) == (20, 23, ())
