"""A notebook is known to be of an assignment by the cells of the release."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.grading.assignment_folder import read_assignment
from labkit.grading.course.released_cells import ReleasedCells
from labkit.grading.notebook_file import Nbgrader, NotebookCell
from tests.unit.grading.notebooks import Cell, cell, noted, write

SOURCES = Path(__file__).parents[4] / "assignments" / "source"
NAMES = sorted(folder.name for folder in SOURCES.iterdir() if (folder / f"{folder.name}.ipynb").is_file())

RELEASE = ReleasedCells(
    [
        NotebookCell("markdown", "Read this."),
        NotebookCell("code", "FACTOR = 2\n", nbgrader=Nbgrader("given", locked=True)),
        NotebookCell("code", "", nbgrader=Nbgrader("q1", solution=True)),
        NotebookCell("code", 'check("q1")', nbgrader=Nbgrader("q1_check", grade=True, locked=True)),
        NotebookCell("code", 'check("q2")', nbgrader=Nbgrader("q2_check", grade=True, locked=True)),
    ]
)
GIVEN, Q1 = noted("FACTOR = 2", "given"), noted("3", "q1", solution=True)
CHECK1, CHECK2 = (noted(f'check("{name}")', f"{name}_check", points=1) for name in ("q1", "q2"))


@pytest.mark.parametrize(
    ("cells", "like"),
    [
        ([GIVEN, Q1, CHECK1, CHECK2], True),
        ([noted("FACTOR = 2\r\n", "given"), Q1, CHECK2], True),
        ([noted("FACTOR = 3", "given"), Q1, CHECK1, CHECK2], True),
        ([noted("Another one", "intro"), Q1, CHECK1], False),
        ([Q1], False),
        ([cell("FACTOR = 2"), cell("3")], False),
        ([], False),
    ],
)
def test_half_of_the_locked_cells_have_to_be_there(tmp_path: Path, cells: list[Cell], like: bool) -> None:
    assert RELEASE.stand_in(write(tmp_path / "a1.ipynb", cells).read_bytes()) is like


def test_what_is_no_notebook_does_not_look_like_one() -> None:
    assert not RELEASE.stand_in(b"no notebook")
    assert ReleasedCells([NotebookCell("code", "1")]).stand_in(b"no notebook")  # where nothing tells


def test_without_locked_cells_the_names_tell(tmp_path: Path) -> None:
    release = ReleasedCells([NotebookCell("code", "", nbgrader=Nbgrader("q1", solution=True))])
    assert release.stand_in(write(tmp_path / "a1.ipynb", [Q1]).read_bytes())
    assert not release.stand_in(write(tmp_path / "a1.ipynb", [GIVEN]).read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_no_assignment_looks_like_another(name: str) -> None:
    release = ReleasedCells(read_assignment(SOURCES / name).release)
    assert [other for other in NAMES if release.stand_in((SOURCES / other / f"{other}.ipynb").read_bytes())] == [name]
