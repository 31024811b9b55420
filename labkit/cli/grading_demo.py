"""`labkit grade demo`: a class is graded before the instructor's eyes, from what is handed in to the class report."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path

from labkit.cli.grading_session import grade_submissions
from labkit.grading.course.class_report import class_report, write_class_report
from labkit.grading.course.course_gradebook import CourseGradebook
from labkit.grading.course.demo_class import CLASS_FILE, make_demo_course
from labkit.grading.course.feedback_pages import make_feedback
from labkit.grading.sandbox import Bubblewrap
from labkit.lab.graphical_browser import open_in_browser


def show_demo(folder: Path, file: Path = CLASS_FILE, *, workers: int) -> None:
    """Make the course in this folder, grade the class of the file by so many workers at one time, and open the report.

    Raises what `make_demo_course` and `grade_submissions` raise.
    """
    Bubblewrap().check()
    print(f"Making a course in {folder} …", flush=True)
    course, assignment, submissions = make_demo_course(folder, file, now=datetime.now(UTC))
    print(f"{submissions} submissions of {assignment} are in {course.root / 'submitted'}.", flush=True)
    try:
        grade_submissions(course, assignment, workers=workers)
    except KeyboardInterrupt:
        print(f"The course stays in {course.root}: go there first.", flush=True)
        raise
    pages = make_feedback(course, assignment)
    print(f"{len(pages)} pages of feedback, such as {pages[0]}.")
    with CourseGradebook(course) as gradebook:
        report = class_report(course, assignment, gradebook)
    page = write_class_report(course, report, now=datetime.now().astimezone())
    print(f"Class report: {page}")
    if open_in_browser(page.as_uri()):
        print("It opens in your browser.")
    print(f"All commands work there, too: cd {shlex.quote(str(course.root))}, and `labkit grade stats {assignment}`.")
