"""Submissions are graded at a terminal: a line for each, a bar with the time that is left, and a sum at the end."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from labkit.grading.broker_pool import BrokerPool
from labkit.grading.course.course_folder import Course
from labkit.grading.course.course_gradebook import CourseGradebook
from labkit.grading.course.grading_run import Grade, GradedSubmission, GradingRun
from labkit.grading.course_secret import read_secret
from labkit.grading.grader import Grader
from labkit.grading.sandbox.backend_choice import make_backend, working_backend
from labkit.plain_text import one_line
from labkit.settings import load_settings

#: How long what is under way may take to end after Ctrl-C, in seconds, as long as a cell may run; a second one ends it.
END_TIMEOUT = 30.0


def grade_submissions(
    course: Course, assignment: str, *, students: Collection[str] = (), concurrency: int, files: str | None = None
) -> list[GradedSubmission]:
    """Grade those of the assignment, or of these students only, so many at once; tells what came of each.

    With `files`, the address of a shared folder, workers grade them that have it too. Raises what `GradingRun` raises,
    `SandboxUnavailable`, what is in the way of the files or of Redis, and `KeyboardInterrupt` when it is said what is
    done so far.
    """
    found: list[GradedSubmission] = []
    with course.being_graded(), CourseGradebook(course) as gradebook, ExitStack() as ends:
        run = GradingRun(course, assignment, gradebook, students=students)
        ends.callback(run.join, END_TIMEOUT)  # after the brokers have ended, which those wait for that are under way
        try:
            grade = (
                _grader(course, run, concurrency, ends) if files is None else _remote_grader(course, run, files, ends)
            )
            _follow(run, grade, concurrency, found)
        except KeyboardInterrupt:
            more = "" if files is None else f" --files {_shown(files)}"
            print(f"Interrupted. {_sum(assignment, found)} `labkit grade auto {assignment}{more}` goes on.", flush=True)
            raise
        waiting = gradebook.waiting(assignment)
    print(_sum(assignment, found, waiting), flush=True)
    return found


def _grader(course: Course, run: GradingRun, concurrency: int, ends: ExitStack) -> Grade:
    """What grades a notebook; what it needs is open until `ends` is closed."""
    secret, sandbox, brokers = read_secret(course.root), make_backend("bubblewrap"), None
    if run.ungraded:
        sandbox = working_backend(load_settings().sandbox)
        if any(question.name == "behaviour" for question in run.assignment.questions):
            brokers = ends.enter_context(BrokerPool(most=concurrency + 1))
    grader = Grader(sandbox, run.assignment, secret=secret, brokers=brokers)
    return lambda notebook, student: grader.grade(notebook, student=student)


def _remote_grader(course: Course, run: GradingRun, files: str, ends: ExitStack) -> Grade:
    """What has a notebook graded elsewhere; it waits for nothing more when `ends` is closed."""
    from labkit.cli.grading_work import shared_files
    from labkit.grading.remote.remote_grader import RemoteGrader

    secret, asked, folder = read_secret(course.root), run.assignment, course.source(run.assignment.name)
    store, queue = shared_files(files)
    grader = RemoteGrader(store, queue, asked, folder, secret, make_backend("bubblewrap"))
    return (ends.enter_context(grader) if run.ungraded else grader).grade


def _shown(files: str) -> str:
    from labkit.grading.remote.file_store import shown_address

    return shown_address(files)


def _follow(run: GradingRun, grade: Grade, concurrency: int, found: list[GradedSubmission]) -> None:
    """A line for each submission that is graded, above a bar with the time that is left, where there is a terminal."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    columns = (TextColumn("grading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("grading", total=run.ungraded)
        for one in run.outcomes(grade, concurrency=concurrency):
            found.append(one)
            if one.fresh:
                console.print(one_line(_line(one)))
                progress.advance(bar)


def _line(one: GradedSubmission) -> str:
    if one.report is None:
        return f"{one.student}: could not be graded. {one.failure}"
    waits = [verdict.question for verdict in one.report.verdicts if verdict.state == "by hand"]
    by_hand = f", and {', '.join(waits)} by hand" if waits else ""
    other = f" (the notebook says that it is of {one.names!r})" if one.names else ""
    return f"{one.student}: {one.report.points:g} of {one.report.possible:g} points{by_hand}{other}"


def _sum(assignment: str, found: list[GradedSubmission], waiting: int = 0) -> str:
    reports = [one.report for one in found if one.report is not None]
    fresh = sum(one.fresh for one in found if one.report is not None)
    failed = [one.student for one in found if one.report is None]
    words = [f"{assignment}: {fresh} graded", f"{len(reports) - fresh} graded before"]
    if reports:
        mean = sum(report.points for report in reports) / len(reports)
        words.append(f"{mean:.1f} of {reports[0].possible:g} points on average")
    if waiting:
        words.append(f"{waiting} answer{'' if waiting == 1 else 's'} to grade by hand")
    if failed:
        words.append(f"{len(failed)} could not be graded ({', '.join(failed)})")
    return one_line(f"{', '.join(words)}.")
