"""A course with a class in it, to be looked at: what is handed in is right, wrong or hostile, and declared in a file.

The file is assignments/demo/ASSIGNMENT.toml, which says how.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from msgspec import DecodeError, Struct, ValidationError

from labkit.grading.assignment_folder import STUDENT
from labkit.grading.course.collection import Came, collect
from labkit.grading.course.course_errors import BadCourse
from labkit.grading.course.course_folder import Course
from labkit.grading.course.course_gradebook import CourseGradebook
from labkit.grading.course.new_course import ASSIGNMENTS, make_course
from labkit.grading.course.released_cells import ReleasedCells
from labkit.grading.course.released_folder import release_assignment
from labkit.grading.course.student_roster import is_student_id
from labkit.typed_values import typed_toml

#: The class that is shown.
CLASS_FILE = ASSIGNMENTS.parent / "demo" / "a1_topics_and_producer.toml"

#: What stands around the model solution for nbgrader, and no student would write.
_MARKS = re.compile(r"^ *### (BEGIN|END) SOLUTION\n?", re.MULTILINE)


class DemoSubmission(Struct, frozen=True, forbid_unknown_fields=True):
    """The answers by their cells, with all others as in the model solution or the release; or the text of the file."""

    others: Literal["model", "release"] = "release"
    answers: dict[str, str] = {}
    file: str | None = None


class DemoClass(Struct, frozen=True, forbid_unknown_fields=True):
    """What each has handed in, and who is listed and has handed in nothing."""

    students: dict[str, DemoSubmission]
    absent: tuple[str, ...] = ()


class DemoCourse(NamedTuple):
    """The course, the assignment, and how many have handed it in."""

    course: Course
    assignment: str
    submissions: int


def make_demo_course(folder: Path, file: Path = CLASS_FILE, *, now: datetime) -> DemoCourse:
    """A course in this folder, with the assignments that lie in `source` beside the file's folder. The one that the
    file is called after is released, and handed in by its class. If it fails, the folder is empty again.

    Raises `BadCourse` if there is something in the folder, no such file, or a class in it that cannot hand that in,
    `BadAssignment` and `OSError`.
    """
    demo = _read_class(file)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadCourse(f"There is something in {folder} already. Name a folder that is empty, or a new one.")
    with ExitStack() as undone:
        undone.callback(_clear, folder)
        course = make_course(folder, file.parents[1] / "source")
        assignment = file.stem
        release = release_assignment(course, assignment) / f"{assignment}.ipynb"
        notebooks = {"model": course.source(assignment) / release.name, "release": release}
        read = {kind: path.read_text(encoding="utf-8") for kind, path in notebooks.items()}
        for student, submission in demo.students.items():
            handed_in = course.root / "handed_in" / student
            handed_in.mkdir(parents=True)
            text = _notebook(read, submission, student) if submission.file is None else submission.file
            (handed_in / release.name).write_text(text, encoding="utf-8")
        _take(course, assignment, demo, now)
        undone.pop_all()
    return DemoCourse(course, assignment, len(demo.students))


def _clear(folder: Path) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _read_class(file: Path) -> DemoClass:
    if not file.is_file():
        raise BadCourse(f"The class to show is a part of a clone of labkit, and there is none: {file} is missing.")
    try:
        demo = typed_toml(file.read_bytes(), DemoClass)
    except (DecodeError, ValidationError, UnicodeDecodeError) as error:
        raise BadCourse(f"{file} cannot be used: {error}.") from error
    wrong = [student for student in (*demo.students, *demo.absent) if not is_student_id(student)]
    if wrong:
        raise BadCourse(f"{file} cannot be used: nobody may have the id {' or '.join(map(repr, wrong))}.")
    return demo


def _notebook(read: Mapping[str, str], submission: DemoSubmission, student: str) -> str:
    """What this student hands in. Raises `BadCourse` if it answers what is not asked."""
    notebook: dict[str, Any] = json.loads(read["release"])
    asked = {_name(cell) for cell in notebook["cells"] if cell["metadata"].get("nbgrader", {}).get("solution")}
    unasked = sorted(submission.answers.keys() - asked)
    if unasked:
        raise BadCourse(
            f"The class cannot hand in: {student} answers {', '.join(map(repr, unasked))}, and the cells to be "
            f"answered are {', '.join(sorted(asked))}."
        )
    model = {_name(cell): cell["source"] for cell in json.loads(read["model"])["cells"]}
    for cell in notebook["cells"]:
        name = _name(cell)
        if name in asked:
            other = "".join(model[name] if submission.others == "model" else cell["source"])
            cell["source"] = _MARKS.sub("", submission.answers.get(name, other)).strip()
        elif STUDENT in cell["metadata"].get("tags", ()):
            cell["source"] = f"STUDENT = {student!r}"
    return json.dumps(notebook, indent=1)


def _name(cell: Mapping[str, Any]) -> str:
    return str(cell["metadata"].get("nbgrader", {}).get("grade_id", ""))


def _take(course: Course, assignment: str, demo: DemoClass, now: datetime) -> None:
    with CourseGradebook(course) as gradebook:
        gradebook.enlist([*demo.students, *demo.absent])
        roster = gradebook.roster()
    release = ReleasedCells(course.assignment(assignment).release)
    for one in collect(course, assignment, [course.root / "handed_in"], roster, release=release, now=now):
        if one.came is Came.REFUSED:
            raise BadCourse(f"The class cannot hand in: {one}")
