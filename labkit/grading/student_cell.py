"""The cell in which students say who they are: it sets STUDENT, from which names and numbers of their own are drawn."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from labkit.grading.assignment_folder import STUDENT
from labkit.grading.kernel_history import statements_of
from labkit.grading.notebook_file import NotebookCell

#: The name that the cell with the tag STUDENT sets.
STUDENT_NAME = "STUDENT"


def student_of(cells: Iterable[NotebookCell]) -> str | None:
    """The id that the student has written into the notebook, if that is a text and nothing else."""
    return student_in(cell.source for cell in cells if STUDENT in cell.tags)


def student_in(sources: Iterable[str]) -> str | None:
    """The id that one of these texts sets."""
    for source in sources:
        for statement in statements_of(source) or ():
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(student))) if (
                    name == STUDENT_NAME
                ):
                    return student
    return None
