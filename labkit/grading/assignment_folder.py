"""An assignment: the instructor's notebook in nbgrader's format, and the questions beside it.

    a1_topics_and_producer/
      a1_topics_and_producer.ipynb    with solutions and points, from which nbgrader makes the release
      questions/q1.toml, q1.py, …     what is asked of the cell q1, and the functions for it

The cell that answers a question has its id as grade_id and `solution`; a locked cell ID_check with `grade` and points
follows it, as nbgrader wants it for what is graded by a program. A cell with both is graded by hand.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from labkit.errors import BadAssignment
from labkit.grading.notebook_file import NotebookCell, read_notebook
from labkit.grading.question_verdict import Feedback
from labkit.grading.questions import Question, read_question
from labkit.grading.release import without_hidden_tests, without_solution
from labkit.grading.sandbox.mounts import folder_shown
from labkit.parameters import checked

#: A cell with this tag is for students to try things out, and is not run when their work is graded.
NOT_GRADED = "not-graded"
#: A cell with this tag sets STUDENT to the student's id, from which names and numbers of their own are drawn. What
#: students write there is for trying out; when their work is graded, it is the id that the campus system has.
STUDENT = "student"
#: What a question's id is followed by in the name of the cell with its checks.
CHECK = "_check"


class Assignment(Struct, frozen=True, kw_only=True):
    """`source` are the cells of the instructor, `release` those that students are given."""

    name: str
    source: tuple[NotebookCell, ...]
    release: tuple[NotebookCell, ...]
    questions: tuple[Question, ...]

    def by_hand(self) -> Iterator[NotebookCell]:
        """The cells that a person is to grade."""
        return (cell for cell in self.release if cell.nbgrader and cell.nbgrader.grade and cell.nbgrader.solution)


def files_asked(folder: Path) -> list[Path]:
    """The files that say what an assignment asks: the notebook, and the questions beside it."""
    return sorted([*folder.glob("*.ipynb"), *(folder / "questions").glob("*.*")])


@checked
def read_assignment(folder: Path) -> Assignment:
    """The assignment in this folder. Raises `BadAssignment`, which says what is wrong in which file."""
    shown = folder_shown(folder)
    if shown is not None:
        raise BadAssignment(
            f"The assignment {folder} lies in {shown}, which student code may read in the sandbox, and with it how it "
            "is graded. Move it."
        )
    file = folder / f"{folder.name}.ipynb"
    source = read_notebook(file)
    if isinstance(source, Feedback):
        raise BadAssignment(f"The assignment's notebook {file} cannot be used: {source.sentence}")
    try:
        release = tuple(map(_released, source))
    except BadAssignment as error:
        raise BadAssignment(f"{file}: {error}") from error
    declared = {file.stem: read_question(file) for file in sorted((folder / "questions").glob("*.toml"))}
    fault = _fault(source, declared)
    if fault is not None:
        raise BadAssignment(f"The assignment's notebook {file} cannot be used: {fault}.")
    order = [cell.nbgrader.grade_id for cell in source if cell.nbgrader]
    return Assignment(
        name=folder.name,
        source=source,
        release=release,
        questions=tuple(sorted(declared.values(), key=lambda question: order.index(question.id))),
    )


def _released(cell: NotebookCell) -> NotebookCell:
    if cell.nbgrader is None:
        return cell
    if cell.nbgrader.solution:
        return replace(cell, source=without_solution(cell.source, cell.kind))
    return replace(cell, source=without_hidden_tests(cell.source)) if cell.nbgrader.grade else cell


def _fault(source: tuple[NotebookCell, ...], questions: dict[str, Question]) -> str | None:
    """What does not fit between the notebook and its questions."""
    noted = [cell.nbgrader for cell in source if cell.nbgrader]
    twice = [grade_id for grade_id, count in Counter(note.grade_id for note in noted).items() if count > 1]
    if twice:
        return f"it has two cells {twice[0]}"
    by_id = {note.grade_id: note for note in noted}
    for name, question in questions.items():
        answer, check = by_id.get(name), by_id.get(name + CHECK)
        if answer is None or not answer.solution or answer.grade:
            return f"no cell has the grade_id {name} with `solution` and without `grade`, for {question.file.name}"
        if check is None or not check.grade or check.solution or not check.locked:
            return f"no locked cell has the grade_id {name}{CHECK} with `grade` and without `solution`"
        if not math.isclose(check.points, question.points):
            return f"{name}{CHECK} is worth {check.points:g} points, and {question.file.name} says {question.points:g}"
    for note in noted:
        if note.grade and not note.solution and note.grade_id.removesuffix(CHECK) not in questions:
            return f"nothing in questions/ says how {note.grade_id} is graded"
    return None
