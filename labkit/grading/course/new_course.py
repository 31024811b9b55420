"""A new course: the folders, the configuration, the secret, the gradebook, and the assignments of this project."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import uuid4

import labkit
from labkit.grading.course.course_errors import BadCourse
from labkit.grading.course.course_folder import CONFIGURATION, Course
from labkit.grading.course.course_gradebook import CourseGradebook
from labkit.grading.course_secret import make_secret
from labkit.grading.sandbox.mounts import folder_shown
from labkit.whole_file import whole_file

#: Where this project has its assignments: beside the package, in a clone of it.
ASSIGNMENTS = Path(labkit.__file__).parents[1] / "assignments" / "source"
#: With these nbgrader finds no notebook in a folder, which it looks for by a pattern.
_PATTERN = frozenset("*?[]")
#: What becomes of no copy.
_LEFT_OUT = shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__", "*.pyc")

_CONFIGURATION = '''"""How nbgrader treats this course; `labkit grade` reads it too."""

c = get_config()

# The name of the course, which JupyterHub's exchange needs.
# c.CourseDirectory.course_id = "queues"

# How a question is graded, and the secret of the course, are released to nobody.
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "questions", "course_secret"]

# What `labkit check` needs goes beside the released notebook, also when formgrader makes the release.
c.GenerateAssignment.post_convert_hook = "labkit.grading.visible_checks.add_to_release"

# Student code runs in the sandbox only, by `labkit grade auto`.
c.Autograde.sanitize_preprocessors = ["labkit.grading.course.sandbox_only.SandboxOnly"]

# What students write is shown as text: HTML in it would run in the browser of whoever grades by hand.
c.HTMLExporter.filters = {"markdown2html": "labkit.grading.course.plain_markdown.markdown_as_html"}
'''


def make_course(folder: Path, assignments: Path = ASSIGNMENTS) -> Course:
    """The course in this folder, with a copy of each of these assignments. What is there already stays as it is.

    Raises `BadCourse`, also if the folder cannot be made or written, `BadCourseSecret` and `OSError`.
    """
    sources = sorted(file.parent for file in assignments.glob("*/*.ipynb") if file.stem == file.parent.name)
    if not sources:
        raise BadCourse(
            f"There are no assignments in {assignments}. Say `--assignments FOLDER`: the folder `assignments/source` "
            "of a clone of labkit, or one of your own."
        )
    folder = folder.resolve()
    shown = folder_shown(folder)
    if shown is not None:
        raise BadCourse(f"No course can be in {folder}: it lies in {shown}, which student code may read. Take another.")
    if _PATTERN.intersection(str(folder)):
        raise BadCourse(
            f"No course can be in {folder}: nbgrader takes {' '.join(sorted(_PATTERN))} in the name of a folder for a "
            "pattern. Take another."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        make_secret(folder)
    except OSError as error:
        raise BadCourse(
            f"No course can be made in {folder}: {error.strerror}. Name a folder that you may write."
        ) from error
    if not (folder / CONFIGURATION).exists():
        with whole_file(folder / CONFIGURATION) as part:
            part.write_text(_CONFIGURATION, encoding="utf-8")
    course = Course(folder)
    for source in sources:
        _copy(source, course.source(source.name))
    for path in (
        course.release("x"),
        course.submitted("x", "x"),
        course.autograded("x", "x"),
        course.feedback("x", "x"),
    ):
        (folder / path.relative_to(folder).parts[0]).mkdir(exist_ok=True)
    with CourseGradebook(course):
        return course


def _copy(source: Path, target: Path) -> None:
    """The whole folder or nothing of it."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{uuid4().hex[:12]}.part")
    try:
        shutil.copytree(source, part, ignore=_LEFT_OUT)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
