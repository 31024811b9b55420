"""What students are given: the instructor's notebook without the solutions, as nbgrader 0.9.6 would release it.

Source: nbgrader/preprocessors/clearsolutions.py, clearhiddentests.py. nbgrader makes the release itself; this says here
which cells a student has not touched, and what the cells are that are not the student's to change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from labkit.errors import BadAssignment

#: What stands in place of a solution.
CODE_STUB, TEXT_STUB = "# YOUR CODE HERE\nraise NotImplementedError()", "YOUR ANSWER HERE"

SOLUTION, HIDDEN_TESTS = ("BEGIN SOLUTION", "END SOLUTION"), ("BEGIN HIDDEN TESTS", "END HIDDEN TESTS")


def without_solution(source: str, kind: str) -> str:
    """The source of a solution cell as it is released: a stub for each marked region, or for the whole cell.

    Raises `BadAssignment` if a region is not closed.
    """
    stub = CODE_STUB if kind == "code" else TEXT_STUB
    lines = source.split("\n")
    if not any(SOLUTION[0] in line for line in lines):
        return stub
    return "\n".join(_outside(lines, SOLUTION, stub.split("\n")))


def without_hidden_tests(source: str) -> str:
    """The source of a cell of tests as it is released. Raises `BadAssignment` if a region is not closed."""
    return "\n".join(_outside(source.split("\n"), HIDDEN_TESTS, ()))


def _outside(lines: Iterable[str], marks: tuple[str, str], stub: Iterable[str]) -> Iterator[str]:
    inside = False
    for line in lines:
        if marks[0] in line:
            if inside:
                raise BadAssignment(f"There is a second {marks[0]} before {marks[1]}.")
            inside = True
            indent = line[: len(line) - len(line.lstrip())]
            yield from (indent + words for words in stub)
        elif marks[1] in line:
            inside = False
        elif not inside:
            yield line
    if inside:
        raise BadAssignment(f"There is no {marks[1]} after {marks[0]}.")
