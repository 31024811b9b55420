"""The cells that are run for a submission: those of the release, with the student's own in the places for solutions.

So whatever else a student has changed, added or deleted is not run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from msgspec import Struct

from labkit.grading.assignment_folder import NOT_GRADED, STUDENT, Assignment
from labkit.grading.notebook_file import MAX_SOURCE, NotebookCell
from labkit.grading.question_verdict import Feedback


class SubmissionCells(Struct, frozen=True, kw_only=True):
    """`code` is to be run in order, each with its grade_id, if it has one; `faults` says by grade_id which cells of the
    student's cannot be, and why; `added` counts the student's own cells of code, which are not.
    """

    code: tuple[tuple[str | None, str], ...]
    faults: dict[str, Feedback]
    added: int


def take_cells(assignment: Assignment, submitted: Sequence[NotebookCell], student: str) -> SubmissionCells:
    """Put the solutions of this student into the release."""
    theirs: defaultdict[str, list[NotebookCell]] = defaultdict(list)
    known = {cell.nbgrader.grade_id for cell in assignment.release if cell.nbgrader}
    given = sum(cell.kind == "code" and cell.nbgrader is None for cell in assignment.release)
    others = 0
    for cell in submitted:
        if cell.nbgrader is not None and cell.nbgrader.grade_id in known:
            theirs[cell.nbgrader.grade_id].append(cell)
        elif cell.kind == "code" and cell.source.strip():
            others += 1
    code: list[tuple[str | None, str]] = []
    faults: dict[str, Feedback] = {}
    for cell in assignment.release:
        note = cell.nbgrader
        if note is not None and note.solution:
            found = _solution(cell, theirs[note.grade_id])
            if isinstance(found, Feedback):
                faults[note.grade_id] = found
            elif cell.kind == "code":
                code.append((note.grade_id, found))
        elif cell.kind == "code" and not (note is not None and note.grade) and NOT_GRADED not in cell.tags:
            source = f"STUDENT = {student!r}" if STUDENT in cell.tags else cell.source
            code.append((note.grade_id if note is not None else None, source))
    return SubmissionCells(code=tuple(code), faults=faults, added=max(0, others - given))


def _solution(released: NotebookCell, found: Sequence[NotebookCell]) -> str | Feedback:
    """The student's text for this cell, or why there is none."""
    assert released.nbgrader is not None
    name = released.nbgrader.grade_id
    if not found:
        return Feedback(
            "missing cell",
            f"The cell {name} is missing from the notebook.",
            "Copy your answer into the notebook as it was handed out: a new cell is not known to be the answer.",
        )
    if any(cell.kind != released.kind for cell in found):
        return Feedback(
            "retyped cell",
            f"The cell {name} was made one of another type, and has to be one of {released.kind}.",
            "Change it back by the menu in the notebook's toolbar.",
        )
    texts = list(dict.fromkeys(cell.source for cell in found))
    changed = [text for text in texts if text.strip() != released.source.strip()]
    if len(changed) > 1:
        return Feedback(
            "duplicated cell",
            f"There are {len(changed)} different cells {name}, so nobody knows which is the answer.",
            "A copy of a cell has its name too. Delete those that do not count.",
        )
    if not changed:
        return Feedback("no answer", f"The cell {name} is as it was handed out.")
    if len(changed[0]) > MAX_SOURCE:
        return Feedback("too long", f"The cell {name} has more than {MAX_SOURCE} characters.")
    return changed[0]
