"""Which of the cells that a kernel has run is the answer to a question."""

from __future__ import annotations

import pytest

from labkit.grading.kernel_history import KernelHistory, names_defined, running_history
from labkit.grading.notebook_file import Nbgrader, NotebookCell

SAVED = (
    NotebookCell("code", "def double(x):\n    return x\n", nbgrader=Nbgrader("q1", solution=True)),
    NotebookCell("code", "homes = {}", nbgrader=Nbgrader("q2", solution=True)),
    NotebookCell("markdown", "double", nbgrader=Nbgrader("q3", solution=True)),
    NotebookCell("code", "double(2)"),
)
NAMES = {"q1": "double", "q2": "homes", "q3": "double"}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f(x):\n    y = 1", {"f"}),
        ("a, (b, *c) = 1, (2, 3)", {"a", "b", "c"}),
        ("if True:\n    a = 1\nelse:\n    for b in (): pass", {"a", "b"}),
        ("a: int = 1", {"a"}),
        ("with open('x') as file:\n    share = 1", {"file", "share"}),
        ("a['x'] = b.c = [d for d in ()]", set()),
        ("(a := 1)", {"a"}),
        ("%%time\ndef f(x):\n    y = 1\nshare = 2", {"f", "share"}),
        ("def f(x:\nshare == 2", {"f"}),
        ("class A:\n    a = 1", {"A"}),
    ],
)
def test_the_names_that_a_cell_defines(source: str, names: set[str]) -> None:
    assert set(names_defined(source)) == names


def test_the_last_cell_that_has_defined_it_counts() -> None:
    history = KernelHistory(["", "def double(x): ...", "double(2)", "def double(x): return 2 * x", "print(double)"])
    assert history.last("double") == (3, "def double(x): return 2 * x")
    assert history.last("triple") is None


def test_what_was_run_stands_in_for_what_was_saved() -> None:
    newer = "def double(x):\n    return 2 * x"
    cells, differs = KernelHistory(["", "def double(x):\n    return x", newer]).put_into(SAVED, NAMES)
    assert [cell.source for cell in cells] == [newer, *(cell.source for cell in SAVED[1:])]
    assert differs == {"q1": 2}


def test_what_was_saved_as_it_was_run_is_no_news() -> None:
    cells, differs = KernelHistory(["", "\ndef double(x):\n    return x"]).put_into(SAVED, NAMES)
    assert cells == SAVED
    assert differs == {}


def test_a_program_has_no_such_history() -> None:
    assert running_history() is None
