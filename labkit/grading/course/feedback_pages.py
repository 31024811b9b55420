"""What students are given back: a page each, made by nbgrader from what was graded and what is in the gradebook."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nbgrader.converters import GenerateFeedback
from traitlets.config import Config

from labkit.grading.course.course_errors import ConversionFailed
from labkit.grading.course.course_folder import Course
from labkit.grading.course.nbgrader_conversion import run_converter

#: What is taken from here in place of nbgrader's and nbconvert's templates.
TEMPLATES = Path(__file__).with_name("templates")


def make_feedback(course: Course, assignment: str) -> list[Path]:
    """Make the pages of all students anew; returns them. Raises `UnknownAssignment` and `ConversionFailed`, when all
    that can be made are.
    """
    course.assignment(assignment)
    graded = [folder for folder in _folders(course, assignment) if any(folder.glob("*.ipynb"))]
    if not graded:
        raise ConversionFailed(f"Nothing of {assignment} is graded yet. Say `labkit grade auto {assignment}` first.")
    converter = GenerateFeedback(coursedir=course.directory(assignment), config=course.config, force=True)
    folders = [str(TEMPLATES), *converter.config.HTMLExporter.extra_template_basedirs]
    converter.update_config(Config({"HTMLExporter": {"extra_template_basedirs": folders}}))
    run_converter(converter, f"the feedback on {assignment}")
    return [page for folder in graded for page in sorted(course.feedback(_student(folder), assignment).glob("*.html"))]


def _folders(course: Course, assignment: str) -> Iterator[Path]:
    return iter(sorted(course.autograded("*", assignment).parent.parent.glob(f"*/{assignment}")))


def _student(folder: Path) -> str:
    return folder.parent.name
