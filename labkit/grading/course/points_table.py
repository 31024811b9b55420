"""The points of a course as CSV, a row for each student and assignment, with the columns of nbgrader's own export.

nbgrader 0.9.6 (plugins/export.py) writes a name with a comma as two columns; here it is one. A text with which a
spreadsheet would begin to reckon is quoted. Who has handed in what is not graded has no score, neither 0 nor that of an
earlier submission.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from nbgrader.api import Assignment, Gradebook, MissingEntry, Student

from labkit.grading.course.course_folder import Course
from labkit.grading.course.graded_file import current_reports
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


class WrittenPoints(NamedTuple):
    """How many rows were written, and by assignment who has handed in and has no score in them."""

    rows: int
    ungraded: dict[str, list[str]]


def write_points(course: Course, gradebook: Gradebook, file: Path, assignment: str | None = None) -> WrittenPoints:
    """Write the points of all assignments, or of this one. Raises `OSError`."""
    known = set(course.assignments())  # of others in the gradebook there are no reports
    listed = [one for one in gradebook.assignments if assignment in (None, one.name)]
    ungraded = {one.name: _ungraded(course, one) if one.name in known else [] for one in listed}
    rows = [row for one in listed for row in _rows(gradebook, one, ungraded[one.name])]
    is_written_to = file.exists() and not file.is_file() and not file.is_dir()  # /dev/stdout is not to be replaced
    with (
        nullcontext(file) if is_written_to else whole_file(file) as part,
        part.open("w", newline="", encoding="utf-8") as opened,
    ):
        writer = csv.DictWriter(opened, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return WrittenPoints(len(rows), {name: students for name, students in ungraded.items() if students})


def _ungraded(course: Course, assignment: Assignment) -> list[str]:
    written = {submission.student.id for submission in assignment.submissions}
    return [name for name, report in current_reports(course, assignment.name, written).items() if report is None]


def _rows(gradebook: Gradebook, assignment: Assignment, ungraded: Collection[str]) -> Iterator[Mapping[str, object]]:
    students = list(gradebook.students)
    students += [Student(id=name) for name in set(ungraded) - {student.id for student in students}]
    for student in sorted(students, key=lambda one: (one.last_name or "", one.first_name or "", one.id)):
        row = _row(gradebook, assignment, student, graded=student.id not in ungraded)
        yield {column: _safe(value) for column, value in row.items()}


def _row(gradebook: Gradebook, assignment: Assignment, student: Student, *, graded: bool) -> dict[str, Any]:
    row = {
        "assignment": assignment.name,
        "duedate": assignment.duedate,
        "student_id": student.id,
        "last_name": student.last_name,
        "first_name": student.first_name,
        "email": student.email,
        "max_score": assignment.max_score,
    }
    if not graded:
        return row
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
