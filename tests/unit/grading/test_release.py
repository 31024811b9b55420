"""The release is what nbgrader makes of the source, to the letter."""

from __future__ import annotations

import pytest

from labkit.errors import BadAssignment
from labkit.grading.release import without_hidden_tests, without_solution

MARKED = """import kafka

def send(key):
    if key:
        ### BEGIN SOLUTION
        return 1
        ### END SOLUTION
    return 2
### BEGIN SOLUTION
x = 1
### END SOLUTION"""
CLEARED = """import kafka

def send(key):
    if key:
        # YOUR CODE HERE
        raise NotImplementedError()
    return 2
# YOUR CODE HERE
raise NotImplementedError()"""


def test_marked_regions_become_stubs_with_their_indent() -> None:
    assert without_solution(MARKED, "code") == CLEARED


def test_a_cell_without_marks_is_a_stub() -> None:
    assert without_solution("x = 1\ny = 2", "code") == "# YOUR CODE HERE\nraise NotImplementedError()"
    assert without_solution("Because of that.", "markdown") == "YOUR ANSWER HERE"


def test_hidden_tests_are_left_out() -> None:
    source = "assert a\n### BEGIN HIDDEN TESTS\nassert b\n### END HIDDEN TESTS\nassert c"
    assert without_hidden_tests(source) == "assert a\nassert c"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("### BEGIN SOLUTION\nx", "no END SOLUTION"),
        ("### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION", "second BEGIN SOLUTION"),
    ],
)
def test_a_region_that_is_not_closed_is_refused(source: str, said: str) -> None:
    with pytest.raises(BadAssignment, match=said):
        without_solution(source, "code")
