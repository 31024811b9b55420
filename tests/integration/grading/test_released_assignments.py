"""What students are handed has no points as it is, and no broker is needed to see that."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.grading.assignment_folder import read_assignment
from labkit.grading.grader import Grader
from labkit.grading.sandbox import Bubblewrap
from tests.integration.grading.assignment_source import SECRET, SOURCE
from tests.unit.grading.notebooks import noted, write


@pytest.mark.parametrize("folder", sorted(SOURCE.iterdir()), ids=lambda folder: folder.name)
def test_what_was_released_has_none_and_needs_no_broker(sandbox: Bubblewrap, folder: Path, tmp_path: Path) -> None:
    assignment = read_assignment(folder)
    released = [
        noted(one.source, one.nbgrader.grade_id, one.kind, solution=one.nbgrader.solution)
        for one in assignment.release
        if one.nbgrader
    ]
    report = Grader(sandbox, assignment, secret=SECRET).grade(write(tmp_path / "a.ipynb", released), student="ada")
    assert report.points == 0
    assert {verdict.state for verdict in report.verdicts} == {"not run"}
