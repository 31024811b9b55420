"""The release of an assignment: nbgrader makes the notebook, labkit adds what its visible checks need."""

from __future__ import annotations

from pathlib import Path

from nbgrader.converters import GenerateAssignment

from labkit.grading.course.course_folder import Course
from labkit.grading.course.course_gradebook import CourseGradebook
from labkit.grading.course.nbgrader_conversion import run_converter
from labkit.grading.visible_checks import write_checks


def release_assignment(course: Course, name: str) -> Path:
    """Make the release, in place of an older one, and note its questions in the gradebook; returns its folder.

    Raises `UnknownAssignment`, `BadAssignment` and `ConversionFailed`.
    """
    assignment = course.assignment(name)
    with CourseGradebook(course):  # which may be a new one
        pass
    converter = GenerateAssignment(coursedir=course.directory(name), config=course.config, force=True)
    converter.post_convert_hook = None  # nbgrader only notes that one has failed
    run_converter(converter, f"the release of {name}")
    folder = course.release(name)
    write_checks(assignment, folder)
    return folder
