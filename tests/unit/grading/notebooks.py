"""Notebooks as students and instructors make them, in nbgrader's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Cell = dict[str, Any]


def cell(source: str, kind: str = "code", tags: tuple[str, ...] = ()) -> Cell:
    made: Cell = {"cell_type": kind, "metadata": {"tags": list(tags)} if tags else {}, "source": source}
    return made | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def noted(
    source: str, grade_id: str, kind: str = "code", *, points: float | None = None, solution: bool = False
) -> Cell:
    """A cell that nbgrader knows: of a solution, of tests where it has points, graded by hand where it is both."""
    made = cell(source, kind)
    made["metadata"]["nbgrader"] = {
        "grade": points is not None,
        "grade_id": grade_id,
        "locked": not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
        **({"points": points} if points is not None else {}),
    }
    return made


def write(file: Path, cells: list[Cell]) -> Path:
    file.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return file


DOUBLE = """
kind = "value"
title = "Twice as much"
points = 2
minutes = 1
timeout = {timeout}
function = "{function}"
[[checks]]
name = "any number"
points = 2
draws = 5
mistake = "It is not twice as much."
"""
DOUBLE_FUNCTIONS = "def draw(rng): return [rng.randrange(1000)]\ndef answer(x): return 2 * x"

#: The cells of a small assignment: two questions by program, one by hand.
SOURCE = [
    cell("# Twice", "markdown"),
    noted("FACTOR = 2", "given"),
    noted("### BEGIN SOLUTION\ndef double(x):\n    return FACTOR * x\n### END SOLUTION", "q1", solution=True),
    noted("assert double(1) == 2\n### BEGIN HIDDEN TESTS\n1 / 0\n### END HIDDEN TESTS", "q1_check", points=2),
    noted("def twice(x):\n    ### BEGIN SOLUTION\n    return x + x\n    ### END SOLUTION", "q2", solution=True),
    noted("assert twice(1) == 2", "q2_check", points=2),
    cell("while True: pass", tags=("not-graded",)),
    noted("Because.", "q3", "markdown", points=3, solution=True),
]


def write_assignment(folder: Path, source: list[Cell] | None = None, *, timeout: float = 60) -> Path:
    """The small assignment, `timeout` seconds for its first question; returns its folder."""
    (folder / "double" / "questions").mkdir(parents=True)
    write(folder / "double" / "double.ipynb", SOURCE if source is None else source)
    for name, function, seconds in (("q1", "double", timeout), ("q2", "twice", 60)):
        file = folder / "double" / "questions" / f"{name}.toml"
        file.write_text(DOUBLE.format(function=function, timeout=seconds))
        file.with_suffix(".py").write_text(DOUBLE_FUNCTIONS)
    return folder / "double"
