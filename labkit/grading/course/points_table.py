"""The points of a course as CSV, a row for each student and assignment, with the columns of nbgrader's own export.

nbgrader 0.9.6 (plugins/export.py) writes a name with a comma as two columns; here it is one. A text with which a
spreadsheet would begin to reckon is quoted.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nbgrader.api import Assignment, Gradebook, MissingEntry, Student

from labkit.whole_file import whole_file

#: nbgrader's columns; and whether a person has still to look at something.
COLUMNS = (
    "assignment",
    "duedate",
    "timestamp",
    "student_id",
    "last_name",
    "first_name",
    "email",
    "raw_score",
    "late_submission_penalty",
    "score",
    "max_score",
    "needs_manual_grade",
)
#: With these a formula begins.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_points(gradebook: Gradebook, file: Path, assignment: str | None = None) -> int:
    """Write the points of all assignments, or of this one; returns how many rows. Raises `OSError`."""
    rows = list(_rows(gradebook, assignment))
    with whole_file(file) as part, part.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def _rows(gradebook: Gradebook, name: str | None) -> Iterator[Mapping[str, object]]:
    students = sorted(
        gradebook.students, key=lambda student: (student.last_name or "", student.first_name or "", student.id)
    )
    for assignment in gradebook.assignments:
        if name in (None, assignment.name):
            for student in students:
                yield {column: _safe(value) for column, value in _row(gradebook, assignment, student).items()}


def _row(gradebook: Gradebook, assignment: Assignment, student: Student) -> dict[str, Any]:
    row = {
        "assignment": assignment.name,
        "duedate": assignment.duedate,
        "student_id": student.id,
        "last_name": student.last_name,
        "first_name": student.first_name,
        "email": student.email,
        "max_score": assignment.max_score,
    }
    try:
        submission = gradebook.find_submission(assignment.name, student.id)
    except MissingEntry:
        return row | {"raw_score": 0.0, "late_submission_penalty": 0.0, "score": 0.0, "needs_manual_grade": False}
    penalty = submission.late_submission_penalty
    return row | {
        "timestamp": submission.timestamp,
        "raw_score": submission.score,
        "late_submission_penalty": penalty,
        "score": max(0.0, submission.score - penalty),
        "needs_manual_grade": submission.needs_manual_grade,
    }


def _safe(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
