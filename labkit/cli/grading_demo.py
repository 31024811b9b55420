"""`labkit grade demo`: a class is graded before the instructor's eyes, from what is handed in to the class report."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path

from labkit.cli.grading_session import grade_submissions
from labkit.grading.course.class_report import class_report, write_class_report
from labkit.grading.course.course_errors import ConversionFailed
from labkit.grading.course.course_folder import Course
from labkit.grading.course.course_gradebook import CourseGradebook
from labkit.grading.course.demo_class import CLASS_FILE, make_demo_course
from labkit.grading.course.feedback_pages import make_feedback
from labkit.grading.sandbox.backend_choice import working_backend
from labkit.lab.graphical_browser import open_in_browser
from labkit.plain_text import one_line
from labkit.settings import load_settings


def show_demo(folder: Path, file: Path = CLASS_FILE, *, concurrency: int) -> bool:
    """Make the course in this folder, grade the class of the file so many submissions at once, and open the report.
    Returns whether all could be graded and given back.

    Raises what `make_demo_course` and `grade_submissions` raise.
    """
    working_backend(load_settings().sandbox)  # before anything is made
    print(f"Making a course in {folder} …", flush=True)
    course, assignment, submissions = make_demo_course(folder, file, now=datetime.now(UTC))
    print(f"{submissions} submissions of {assignment} are in {course.root / 'submitted'}.", flush=True)
    there = f"cd {shlex.quote(str(course.root))}"
    try:
        found = grade_submissions(course, assignment, concurrency=concurrency)
        is_given_back = _give_back(course, assignment)
        _report(course, assignment)
    except KeyboardInterrupt:
        again = ", ".join(f"`labkit grade {command} {assignment}`" for command in ("auto", "feedback", "stats"))
        print(f"The course stays. To go on: {there}, and {again}.", flush=True)
        raise
    failed = [one.student for one in found if one.failure]
    if failed:
        print(
            f"Not graded: {one_line(', '.join(failed))}. To try again: {there}, and `labkit grade auto {assignment}`."
        )
    if not is_given_back:
        print(f"The feedback is not whole. To try again: {there}, and `labkit grade feedback {assignment}`.")
    print(f"All commands work there, too: {there}, and `labkit grade stats {assignment}`.")
    return is_given_back and not failed


def _give_back(course: Course, assignment: str) -> bool:
    """Whether all could be; what is in the way is said, and keeps nobody from the report."""
    try:
        pages = make_feedback(course, assignment)
    except ConversionFailed as error:
        print(one_line(str(error)), flush=True)
        return False
    print(f"{len(pages)} pages of feedback, such as {pages[0]}.")
    return True


def _report(course: Course, assignment: str) -> None:
    with CourseGradebook(course) as gradebook:
        report = class_report(course, assignment, gradebook)
    page = write_class_report(course, report, now=datetime.now().astimezone())
    print(f"Class report: {page}")
    open_in_browser(page.as_uri())
