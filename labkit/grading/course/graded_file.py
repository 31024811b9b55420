"""What the grader has found of a submission, kept with what it has found it of: so nothing is graded twice."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from pathlib import Path

from msgspec import DecodeError, Struct, ValidationError, json

from labkit.grading.assignment_folder import files_asked
from labkit.grading.course.course_folder import Course
from labkit.grading.grader import Report
from labkit.grading.notebook_file import read_content
from labkit.grading.question_verdict import Feedback
from labkit.typed_values import typed_json
from labkit.whole_file import whole_file


class GradedFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A report, and the digest of all that it follows from."""

    digest: str
    report: Report


def digest_of(notebook: Path, asked: str) -> str:
    """Names a submission, by the bytes of its notebook or why there are none, and what it was asked."""
    content = read_content(notebook)
    if isinstance(content, Feedback):
        content = content.sentence.encode()
    return sha256(asked.encode() + b"\0" + content).hexdigest()


def digest_of_assignment(folder: Path) -> str:
    """Names what an assignment asks: the notebook, and the questions beside it. Raises `OSError`."""
    found = sha256()
    for file in files_asked(folder):
        found.update(f"{file.name}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return found.hexdigest()


def read_graded(course: Course, student: str, assignment: str) -> GradedFile | None:
    """What was found; nothing if the submission was not graded, or by a grader that wrote it down otherwise."""
    try:
        graded = typed_json(course.report(student, assignment).read_bytes(), GradedFile)
    except (FileNotFoundError, DecodeError, ValidationError, UnicodeDecodeError):
        return None
    return graded if (graded.report.student, graded.report.assignment) == (student, assignment) else None


def current_reports(course: Course, assignment: str, written: Collection[str]) -> dict[str, Report | None]:
    """What was found of each student's submission; none where no report is of it: it was not graded, or it or the
    assignment has changed since, or the gradebook has lost its points: `written` are those whose points it has.
    Raises `OSError`.
    """
    asked = digest_of_assignment(course.source(assignment))
    found: dict[str, Report | None] = {}
    for student, notebook in course.submissions(assignment).items():
        graded = read_graded(course, student, assignment) if student in written else None
        found[student] = graded.report if graded and graded.digest == digest_of(notebook, asked) else None
    return found


def write_graded_file(course: Course, graded: GradedFile) -> None:
    """Keep it in place of what was found before. Raises `OSError`."""
    with whole_file(course.report(graded.report.student, graded.report.assignment)) as part:
        part.write_bytes(json.format(json.encode(graded), indent=1) + b"\n")
