"""An assignment is read whole, or one sentence says what does not fit between its notebook and its questions."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest

from labkit.errors import BadAssignment
from labkit.grading.assignment_folder import read_assignment
from tests.unit.grading.notebooks import SOURCE, Cell, noted, write_assignment


def test_it_is_read_with_its_questions_in_the_notebook_s_order(tmp_path: Path) -> None:
    assignment = read_assignment(write_assignment(tmp_path))
    assert assignment.name == "double"
    assert [question.id for question in assignment.questions] == ["q1", "q2"]
    assert [cell.nbgrader.grade_id for cell in assignment.by_hand() if cell.nbgrader] == ["q3"]


def test_the_release_has_neither_solutions_nor_hidden_tests(tmp_path: Path) -> None:
    release = read_assignment(write_assignment(tmp_path)).release
    assert [cell.source for cell in release[1:6]] == [
        "FACTOR = 2",
        "# YOUR CODE HERE\nraise NotImplementedError()",
        "assert double(1) == 2",
        "def twice(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()",
        "assert twice(1) == 2",
    ]
    assert release[-1].source == "YOUR ANSWER HERE"


def _points(cells: list[Cell]) -> None:
    cells[3]["metadata"]["nbgrader"]["points"] = 3


def _open(cells: list[Cell]) -> None:
    cells[3]["metadata"]["nbgrader"]["locked"] = False


def _unsolved(cells: list[Cell]) -> None:
    cells[2]["metadata"]["nbgrader"]["solution"] = False


def _twice(cells: list[Cell]) -> None:
    cells.append(cells[2])


def _undeclared(cells: list[Cell]) -> None:
    cells.append(noted("assert 1", "q9_check", points=1))


def _without_check(cells: list[Cell]) -> None:
    del cells[3]


def _unclosed(cells: list[Cell]) -> None:
    cells[2]["source"] = "### BEGIN SOLUTION"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_points, r"q1_check is worth 3 points, and q1\.toml says 2"),
        (_open, "no locked cell has the grade_id q1_check"),
        (_unsolved, r"no cell has the grade_id q1 with `solution` and without `grade`, for q1\.toml"),
        (_twice, "it has two cells q1"),
        (_undeclared, "nothing in questions/ says how q9_check is graded"),
        (_without_check, "no locked cell has the grade_id q1_check"),
        (_unclosed, "no END SOLUTION"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, change: Callable[[list[Cell]], None], said: str) -> None:
    source = deepcopy(SOURCE)
    change(source)
    with pytest.raises(BadAssignment, match=said) as error:
        read_assignment(write_assignment(tmp_path, source))
    assert "double.ipynb" in str(error.value)


def test_a_folder_without_a_notebook_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadAssignment, match=r"nothing\.ipynb cannot be used: The notebook cannot be opened: No such"):
        read_assignment(tmp_path / "nothing")
