"""Whose a notebook says that it is. Nobody has to believe it; but one that names another student is worth a look."""

from __future__ import annotations

import re
from collections.abc import Iterable

from labkit.grading.assignment_folder import STUDENT
from labkit.grading.course.campus_name import composed
from labkit.grading.notebook_file import NotebookCell

#: Parsed as a line and not as Python: what students write may be made to break a parser.
_LINE = re.compile(r"""^STUDENT[ \t]*=[ \t]*(["'])([^"'\\\n]{1,100})\1[ \t]*(?:#[^\n]*)?$""", re.MULTILINE)


def named_student(cells: Iterable[NotebookCell]) -> str | None:
    """The id in the cell with the tag `student`, if a line sets it."""
    for cell in cells:
        if STUDENT in cell.tags and (found := _LINE.search(cell.source)):
            return composed(found[2])
    return None
