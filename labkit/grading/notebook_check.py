"""The visible checks of a student's notebook, run as the grader runs them: for students, before they hand it in."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from msgspec.structs import replace

from labkit.errors import LabkitError, SandboxUnavailable
from labkit.grading.assignment_folder import CHECK, STUDENT, Assignment
from labkit.grading.check_errors import ChecksFailed, NotChecked
from labkit.grading.check_report import CheckedQuestion, CheckReport
from labkit.grading.course_secret import CourseSecret
from labkit.grading.grader import Grader, Report
from labkit.grading.kernel_history import KernelHistory, in_notebook, running_history, show, statements_of
from labkit.grading.lab_broker import RunningLab
from labkit.grading.notebook_file import NotebookCell, read_notebook
from labkit.grading.plain_backend import PlainBackend
from labkit.grading.question_verdict import Feedback
from labkit.grading.sandbox.backend_choice import working_backend
from labkit.grading.sandbox.contract import Backend
from labkit.grading.visible_checks import FILE, read_checks
from labkit.parameters import checked
from labkit.settings import load_settings
from labkit.temporary_folder import passing_folder

#: The name that the cell with the tag STUDENT sets.
_STUDENT_NAME = "STUDENT"


@checked
def check(question: str) -> CheckReport | None:
    """In a notebook: run the visible checks of this question, such as "q2", on the answers as they were run last.

    A notebook shows what they found, and a picture of how workers behaved; as the value of its cell, nbgrader would
    take it for points. Elsewhere it is returned. Raises `ChecksFailed`, an `AssertionError`, if one fails, and
    `NotChecked` if they cannot be run.
    """
    try:
        report = check_notebook(find_notebook(Path()), [question], history=running_history())
    except LabkitError as error:
        raise NotChecked(str(error)) from error
    if in_notebook():
        for shown in (*([report] if report.passed else ()), *report.figures().values()):
            show(shown)
    if not report.passed:
        raise ChecksFailed(str(report))
    return None if in_notebook() else report


def find_notebook(folder: Path) -> Path:
    """The one notebook of the folder, or that of the assignment. Raises `NotChecked` if there is none."""
    found = sorted(file for file in folder.glob("*.ipynb") if file.is_file())
    if len(found) > 1 and (folder / FILE).exists():
        found = [file for file in found if file.stem == read_checks(folder).name] or found
    if len(found) == 1:
        return found[0]
    where = folder.absolute()
    if not found:
        raise NotChecked(f"There is no notebook in {where}. Say which one is meant: `labkit check NOTEBOOK`.")
    names = ", ".join(file.name for file in found)
    raise NotChecked(f"There are several notebooks in {where} ({names}). Say which is meant: `labkit check NOTEBOOK`.")


def check_notebook(
    notebook: Path, names: Sequence[str] = (), *, history: KernelHistory | None = None, sandbox: Backend | None = None
) -> CheckReport:
    """What the visible checks of these questions find, or of all. `history` is of the kernel that runs the notebook;
    `sandbox` is the one of this machine unless it is given.

    Raises `NotChecked` for what is no notebook and for questions that there are not, `LabNotRunning` where a question
    is about behaviour, and whatever else keeps them from being run.
    """
    submitted = read_notebook(notebook)
    if isinstance(submitted, Feedback):
        raise NotChecked(f"{notebook}: {submitted.sentence} {_ADVICE.get(submitted.mistake, submitted.hint)}")
    assignment = read_checks(notebook.parent)
    asked = _asked(assignment, names)
    newer: dict[str, int] = {}
    if history is not None:
        defined = {question.id: question.defines for question in assignment.questions}
        submitted, newer = history.put_into(submitted, defined)
    student = _student(submitted, history) or _student(assignment.release, None) or ""
    with _backend(sandbox) as (backend, where):
        grader = Grader(backend, asked, secret=CourseSecret(uuid4().bytes), brokers=RunningLab())
        report = grader.grade_cells(submitted, student=student)
    return CheckReport(
        where=where,
        taken=_taken(notebook, newer, by_kernel=history is not None),
        questions=tuple(_checked(asked, report)),
        notes=report.notes,
    )


#: What a student is told of a file that is no notebook, instead of what is said of one that was handed in.
_ADVICE = {"no file": "Say which one is meant: `labkit check NOTEBOOK`."}


def _asked(assignment: Assignment, names: Sequence[str]) -> Assignment:
    """The assignment with these questions only. Raises `NotChecked` for one that cannot be checked."""
    known = {question.id: question for question in assignment.questions}
    by_hand = [cell.nbgrader.grade_id for cell in assignment.by_hand() if cell.nbgrader]
    for name in names:
        if name in by_hand:
            raise NotChecked(f"{name} is graded by a person, so there is nothing to check.")
        if name not in known:
            raise NotChecked(f"{assignment.name} has no question {name!r} to check; there are {', '.join(known)}.")
    return replace(assignment, questions=tuple(known[name] for name in (names or known)))


@contextmanager
def _backend(given: Backend | None) -> Iterator[tuple[Backend, str]]:
    """Where the code runs, and a sentence about it."""
    try:
        backend = given or working_backend(load_settings().sandbox)
        backend.check()
    except SandboxUnavailable:
        with passing_folder("check") as folder:
            yield (
                PlainBackend(folder),
                "Run plainly on this computer, as there is no sandbox here; the grader runs it in one.",
            )
    else:
        yield backend, "Run in the sandbox, as the grader runs it."


def _student(cells: Sequence[NotebookCell], history: KernelHistory | None) -> str | None:
    """The id that the student has written into the notebook."""
    run = history.last(_STUDENT_NAME) if history is not None else None
    sources = [run.source] if run is not None else [cell.source for cell in cells if STUDENT in cell.tags]
    for source in sources:
        for statement in statements_of(source) or ():
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(student))) if (
                    name == _STUDENT_NAME
                ):
                    return student
    return None


def _taken(notebook: Path, newer: dict[str, int], *, by_kernel: bool) -> str:
    if not by_kernel:
        return f"The answers are those of {notebook.name} as it was saved last."
    if not newer:
        return f"The answers are those of {notebook.name}; you have run no others since."
    which = ", ".join(f"{name} (you ran it as [{number}])" for name, number in newer.items())
    return (
        f"The answers are those that you ran last. The file {notebook.name} has other text for {which}: save the "
        "notebook before you hand it in, and run each cell that you have changed."
    )


def _checked(assignment: Assignment, report: Report) -> Iterator[CheckedQuestion]:
    notes = [cell.nbgrader for cell in assignment.release if cell.nbgrader]
    points = {note.grade_id.removesuffix(CHECK): note.points for note in notes if note.grade and not note.solution}
    verdicts = {verdict.question: verdict for verdict in report.verdicts}
    for question in assignment.questions:
        yield CheckedQuestion(question=question, verdict=verdicts[question.id], points=points[question.id])
