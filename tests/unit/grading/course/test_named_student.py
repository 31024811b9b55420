"""Whose a notebook says that it is."""

from __future__ import annotations

import pytest

from labkit.grading.course.named_student import named_student
from labkit.grading.notebook_file import NotebookCell


@pytest.mark.parametrize(
    ("source", "student"),
    [
        ('STUDENT = "ada"', "ada"),
        ("# me\nSTUDENT='s 1'  # as on my card\n", "s 1"),
        ('STUDENT = "zoe\u0308"', "zoë"),
        ('STUDENT = "a" + "b"', None),
        ('    STUDENT = "ada"', None),
        ("STUDENT = name", None),
        ('STUDENT = ""', None),
        ("STUDENT = " + "(" * 100_000, None),
    ],
)
def test_the_line_that_sets_it_says_so(source: str, student: str | None) -> None:
    assert named_student([NotebookCell("code", source, ("student",))]) == student
    assert named_student([NotebookCell("code", source)]) is None
