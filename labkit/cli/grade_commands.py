"""`labkit grade …`: a course from the first release to the points, with nbgrader's folders and gradebook."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.errors import LabkitError
from labkit.plain_text import one_line
from labkit.plugin import import_from_here

if TYPE_CHECKING:
    from labkit.grading.course.course_folder import Course

#: How many submissions are graded at one time, unless it is said, and how many are sent to other computers.
AT_ONCE, SENT = 2, 64

CourseFolder = Annotated[
    Path, typer.Option("--course", help="The folder of the course; by default this one.", show_default=False)
]
AssignmentName = Annotated[str, typer.Argument(metavar="ASSIGNMENT", help="The name of the assignment's folder.")]

grade_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module on the application."""
    app.add_typer(grade_app, name="grade", help="For instructors: release, collect and grade assignments.")


@grade_app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The folder of the course.", show_default=False)] = Path(),
    assignments: Annotated[
        Path | None,
        typer.Option(help="Where the assignments are copied from; by default labkit's own.", show_default=False),
    ] = None,
) -> None:
    """Make the folder of a course.

    It has nbgrader's folders and gradebook, a secret of its own, and a copy of each assignment. What is there already
    stays as it is.
    """
    _must_have_libraries()
    from labkit.grading.course.new_course import ASSIGNMENTS, make_course

    course = make_course(folder, assignments or ASSIGNMENTS)
    names = course.assignments()
    print(f"The course is in {course.root}, with {', '.join(names)}.")
    print("Keep a copy of course_secret, from which the hidden checks are drawn, and of gradebook.db with the points.")
    print(f"Next: cd {course.root}, and `labkit grade release {names[0]}`.")


@grade_app.command()
def release(assignment: AssignmentName, course: CourseFolder = Path()) -> None:
    """Make what students are given.

    That is the notebook without solutions, and what `labkit check` needs.
    """
    opened = _opened(course)
    from labkit.grading.course.released_folder import release_assignment

    folder = release_assignment(opened, assignment)
    files = ", ".join(sorted(file.name for file in folder.iterdir()))
    print(one_line(f"Give students all that is in {folder}: {files}."))


@grade_app.command()
def collect(
    assignment: AssignmentName,
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="FROM...", help="Folders with one per student, nbgrader's exchange, Moodle's or Canvas' zip files."
        ),
    ],
    course: CourseFolder = Path(),
) -> None:
    """Take submissions into the course. The latest of each student counts; the others are kept in earlier/.

    The status is 1 if something was not taken.
    """
    opened = _opened(course)
    from labkit.grading.course.collection import Came, collect
    from labkit.grading.course.course_gradebook import CourseGradebook
    from labkit.grading.course.released_cells import ReleasedCells

    asked = opened.assignment(assignment)
    with CourseGradebook(opened) as gradebook:
        roster = gradebook.roster()
    counts: Counter[Came] = Counter()
    release = ReleasedCells(asked.release)
    for one in collect(opened, assignment, sources, roster, release=release, now=datetime.now(UTC)):
        counts[one.came] += 1
        print(one_line(str(one)), flush=True)
    print(f"{assignment}: {', '.join(f'{counts[came]} {came}' for came in Came if counts[came])}.")
    sys.exit(1 if counts[Came.REFUSED] else 0)


@grade_app.command()
def auto(
    assignment: AssignmentName,
    student: Annotated[
        list[str] | None, typer.Option(help="Only this student; may be given several times.", show_default=False)
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, help="How many submissions at once.", show_default=f"{AT_ONCE}; with --files: {SENT}"
        ),
    ] = None,
    files: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Have them graded by workers with this folder.", show_default=False),
    ] = None,
    course: CourseFolder = Path(),
) -> None:
    """Grade the submissions in the sandbox.

    Points and comments go into nbgrader's gradebook. What was graded before and has not changed is not graded again,
    so it can be interrupted and started again. The status is 1 if a submission could not be graded. With --files they
    are graded by every `labkit grade worker` with the same FOLDER, wherever it runs.
    """
    opened = _opened(course)
    if files is not None:
        _must_have_libraries("fsspec")
    from labkit.cli.grading_session import grade_submissions

    at_once = concurrency or (AT_ONCE if files is None else SENT)
    found = grade_submissions(opened, assignment, students=student or (), concurrency=at_once, files=files)
    sys.exit(1 if any(one.failure for one in found) else 0)


@grade_app.command()
def worker(
    files: Annotated[
        str, typer.Option(metavar="FOLDER", help="A folder that all computers have, or an address of fsspec's.")
    ],
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="How many submissions at once.")] = AT_ONCE,
) -> None:
    """Grade, in the sandbox, what any `labkit grade auto --files FOLDER` asks for, until Ctrl-C; then finish it.

    Any number of workers may run, on any computers that have the FOLDER and the Redis of LABKIT_CELERY_BROKER_URL. A
    second Ctrl-C gives what is not finished to the others.
    """
    _must_have_libraries("fsspec")
    from labkit.cli.common import start_logging
    from labkit.cli.grading_work import grade_for_others

    start_logging("celery")
    import_from_here()
    grade_for_others(files, concurrency=concurrency)


@grade_app.command()
def feedback(assignment: AssignmentName, course: CourseFolder = Path()) -> None:
    """Make a page of feedback for each student.

    It has the points, and the comments of the grader and of those who graded by hand.
    """
    opened = _opened(course)
    from labkit.grading.course.feedback_pages import make_feedback

    pages = make_feedback(opened, assignment)
    print(f"{len(pages)} {'page' if len(pages) == 1 else 'pages'}, such as {one_line(str(pages[0]))}.")


@grade_app.command()
def export(
    assignment: Annotated[
        str | None, typer.Argument(metavar="[ASSIGNMENT]", help="Only this assignment.", show_default=False)
    ] = None,
    to: Annotated[Path, typer.Option(help="The file.")] = Path("grades.csv"),
    course: CourseFolder = Path(),
) -> None:
    """Write the points as CSV.

    It has a row for each student and assignment. Who has handed in what is not graded has no score, and is named; the
    status is 1 then.
    """
    opened = _opened(course)
    from labkit.grading.course.course_gradebook import CourseGradebook
    from labkit.grading.course.points_table import write_points

    with CourseGradebook(opened) as gradebook:
        if assignment is not None:
            gradebook.must_know(assignment)
        rows, ungraded = write_points(opened, gradebook.gradebook, to, assignment)
    print(f"{rows} {'row' if rows == 1 else 'rows'}: {to}")
    if ungraded:
        names = "; ".join(f"{', '.join(students)} in {name}" for name, students in ungraded.items())
        names = one_line(names)
        print(f"Handed in and not graded, so without a score: {names}. `labkit grade auto` grades them, or says why.")
    sys.exit(1 if ungraded else 0)


@grade_app.command()
def stats(assignment: AssignmentName, course: CourseFolder = Path()) -> None:
    """Show how the class has done, and write the class report.

    Shown are points by question, the most frequent mistakes, and who could not be graded. The report is one page of
    HTML, reports/ASSIGNMENT.html: the same, and the distribution of the points, who has handed in nothing or waits for
    a person, which submissions are alike, and the points of each student. It is for those who grade.
    """
    opened = _opened(course)
    from labkit.cli.class_tables import print_statistics
    from labkit.grading.course.class_report import class_report, write_class_report
    from labkit.grading.course.course_gradebook import CourseGradebook

    with CourseGradebook(opened) as gradebook:
        report = class_report(opened, assignment, gradebook)
    page = write_class_report(opened, report, now=datetime.now().astimezone())
    if not report.statistics.graded:
        raise LabkitError(
            f"Nothing of {assignment} is graded yet. Say `labkit grade auto {assignment}` first. Who has handed in is "
            f"in the class report, {page}."
        )
    print_statistics(report.statistics)
    print(f"Class report: {page}")


@grade_app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="A new folder for the course.")] = Path("grade_demo"),
) -> None:
    """Show all of it on a class of twelve.

    Makes a course in a new folder, with one assignment that twelve have handed in: right, wrong with classic mistakes,
    and hostile (an endless loop, a fork bomb, a damaged file, …). It is collected, graded as `auto` does it, and given
    back, and the class report opens in the browser, if there is one. It takes a clone of labkit, which has the class,
    and some minutes; Ctrl-C ends it. The status is 1 if something could not be graded or given back.
    """
    _must_have_libraries()
    from labkit.cli.grading_demo import show_demo

    sys.exit(0 if show_demo(folder, concurrency=AT_ONCE) else 1)


def _opened(folder: Path) -> Course:
    _must_have_libraries()
    from labkit.grading.course.course_folder import Course

    import_from_here()  # a question may have a scenario of one's own
    return Course(folder)


def _must_have_libraries(*names: str) -> None:
    missing = [name for name in names or ("nbgrader", "copydetect") if find_spec(name) is None]
    if missing:
        raise LabkitError(
            f"This takes {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed. In a "
            "clone of labkit `make bubblewrap` brings what it takes, with the sandbox; elsewhere `pip install "
            "labkit[grading]` does."
        )
