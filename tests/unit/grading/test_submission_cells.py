"""What is run is the release with the student's solutions, and each that cannot be is told by name."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest

from labkit.grading.assignment_folder import Assignment, read_assignment
from labkit.grading.notebook_file import MAX_SOURCE, read_notebook
from labkit.grading.question_verdict import Feedback
from labkit.grading.submission_cells import SubmissionCells, take_cells
from tests.unit.grading.notebooks import SOURCE, Cell, cell, noted, write, write_assignment

MODEL = "### BEGIN SOLUTION\ndef double(x):\n    return FACTOR * x\n### END SOLUTION"


@pytest.fixture
def assignment(tmp_path: Path) -> Assignment:
    return read_assignment(write_assignment(tmp_path))


def taken(assignment: Assignment, folder: Path, cells: list[Cell]) -> SubmissionCells:
    found = read_notebook(write(folder / "a.ipynb", cells))
    assert not isinstance(found, Feedback)
    return take_cells(assignment, found, "ada")


def test_the_model_solution_is_taken_whole(assignment: Assignment, tmp_path: Path) -> None:
    cells = taken(assignment, tmp_path, SOURCE)
    assert [name for name, _ in cells.code] == ["given", "q1", "q2"]
    assert (cells.faults, cells.added) == ({}, 0)


def test_only_solutions_are_the_student_s(assignment: Assignment, tmp_path: Path) -> None:
    theirs = deepcopy(SOURCE)
    theirs[1]["source"] = "FACTOR = 3"
    theirs[3]["source"] = "raise SystemExit"
    theirs[6]["source"] = "import os"
    theirs[2]["source"] = "def double(x): return 2 * x"
    theirs[2]["metadata"]["nbgrader"] |= {"points": 100, "grade": True, "locked": True, "solution": False}
    theirs += [cell("double = None"), cell(""), noted("FACTOR = 9", "mine", solution=True)]
    cells = taken(assignment, tmp_path, theirs)
    assert cells.code[:2] == (("given", "FACTOR = 2"), ("q1", "def double(x): return 2 * x"))
    assert len(cells.code) == 3
    assert cells.added == 2


def test_an_untouched_notebook_has_no_answers(assignment: Assignment, tmp_path: Path) -> None:
    cells = take_cells(assignment, assignment.release, "ada")
    assert {name: fault.mistake for name, fault in cells.faults.items()} == dict.fromkeys(
        ("q1", "q2", "q3"), "no answer"
    )
    assert [name for name, _ in cells.code] == ["given"]


def test_a_cell_that_is_missing(assignment: Assignment, tmp_path: Path) -> None:
    cells = taken(assignment, tmp_path, [part for number, part in enumerate(SOURCE) if number != 2])
    assert {name: fault.mistake for name, fault in cells.faults.items()} == {"q1": "missing cell"}


def test_metadata_that_is_gone(assignment: Assignment, tmp_path: Path) -> None:
    cells = taken(assignment, tmp_path, [part | {"metadata": {}} for part in SOURCE])
    assert {fault.mistake for fault in cells.faults.values()} == {"missing cell"}


@pytest.mark.parametrize("kind", ["markdown", "raw", "none"])
def test_a_cell_of_another_type(assignment: Assignment, tmp_path: Path, kind: str) -> None:
    cells = taken(assignment, tmp_path, [*SOURCE[:2], SOURCE[2] | {"cell_type": kind}, *SOURCE[3:]])
    assert {name: fault.mistake for name, fault in cells.faults.items()} == {"q1": "retyped cell"}


def test_two_different_answers_are_none(assignment: Assignment, tmp_path: Path) -> None:
    cells = taken(assignment, tmp_path, [*SOURCE, noted("def double(x): return 3", "q1", solution=True)])
    assert {name: fault.mistake for name, fault in cells.faults.items()} == {"q1": "duplicated cell"}


def test_of_two_copies_the_one_that_was_changed_counts(assignment: Assignment, tmp_path: Path) -> None:
    untouched = noted("# YOUR CODE HERE\nraise NotImplementedError()\n", "q1", solution=True)
    cells = taken(assignment, tmp_path, [untouched, *SOURCE, SOURCE[2]])
    assert cells.faults == {}
    assert dict(cells.code)["q1"] == MODEL


def test_an_answer_without_end(assignment: Assignment, tmp_path: Path) -> None:
    cells = taken(assignment, tmp_path, [*SOURCE[:2], noted("x" * (MAX_SOURCE + 1), "q1", solution=True), *SOURCE[3:]])
    assert {name: fault.mistake for name, fault in cells.faults.items()} == {"q1": "too long"}


def test_who_the_student_is_the_grader_says(tmp_path: Path) -> None:
    source = [cell("STUDENT = 'you'", tags=("student",)), *SOURCE]
    assignment = read_assignment(write_assignment(tmp_path, source))
    theirs = [cell("STUDENT = 'grace'", tags=("student",)), *SOURCE]
    found = read_notebook(write(tmp_path / "a.ipynb", theirs))
    assert not isinstance(found, Feedback)
    name = "ada'; raise SystemExit #"
    (_, code), *_ = take_cells(assignment, found, name).code
    names: dict[str, str] = {}
    exec(code, names)
    assert names["STUDENT"] == name
