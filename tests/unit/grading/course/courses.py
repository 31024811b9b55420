"""Small courses, and reports of a grader that runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from labkit.grading.course.course_folder import Course
from labkit.grading.grader import Report
from labkit.grading.notebook_file import read_notebook
from labkit.grading.question_verdict import Feedback, QuestionVerdict
from labkit.grading.run_timeline import RunTimeline, TaskSpan, TimelineMark
from tests.unit.grading.notebooks import SOURCE, Cell, cell, noted, write, write_assignment

WRONG = Feedback("any number", "It is not twice as much. double(3) returned 9.", "Look at the factor.")
#: Of a run in which a worker was killed with its second task in hand.
TIMELINE = RunTimeline(
    workers=("worker 1", "worker 2"),
    spans=(
        TaskSpan("a", "worker 1", 0, 0.0, 1.0),
        TaskSpan("b", "worker 1", 1, 1.0),
        TaskSpan("b", "worker 2", 1, 2, 3),
    ),
    marks=(TimelineMark("kill worker 1", 1.5),),
    end=4.0,
)
EMPTY = Feedback("no answer", "The cell q3 is as it was handed out.")


def sources(folder: Path) -> Path:
    """A folder with the small assignment."""
    source = write_assignment(folder)
    _write(source / "double.ipynb", SOURCE)
    return folder


def hand_in(course: Course, student: str, q1: str = "right", q3: str = "Because.", added: Sequence[Cell] = ()) -> Path:
    """A submission as it was collected, with these answers."""
    answers = {"q1": noted(q1, "q1", solution=True), "q3": noted(q3, "q3", "markdown", points=3, solution=True)}
    cells = [answers.get(one["metadata"].get("nbgrader", {}).get("grade_id"), one) for one in SOURCE]
    file = course.submitted(student, "double") / "double.ipynb"
    file.parent.mkdir(parents=True, exist_ok=True)
    return _write(file, [*cells, *added])


def _write(file: Path, cells: Sequence[Cell]) -> Path:
    """Each cell has an id, as nbformat wants it."""
    return write(file, [one | {"id": f"cell-{number}"} for number, one in enumerate(cells)])


def grade(notebook: Path, student: str) -> Report:
    """Full marks for q2, and for q1 where the answer is "right"; one of the grader's faults where it is "broken"."""
    cells = read_notebook(notebook)
    if isinstance(cells, Feedback):
        verdicts = [QuestionVerdict.not_run(name, most, cells) for name, most in (("q1", 2), ("q2", 2), ("q3", 3))]
        return Report(assignment="double", student=student, seed="0", verdicts=tuple(verdicts))
    answers = {one.nbgrader.grade_id: one.source for one in cells if one.nbgrader}
    if answers["q1"] == "broken":
        raise RuntimeError(student)
    right = answers["q1"] == "right"
    verdicts = [
        replace(QuestionVerdict.of_checks("q1", [(2, right)], [] if right else [WRONG]), timeline=TIMELINE),
        QuestionVerdict.of_checks("q2", [(2, True)], []),
        QuestionVerdict.by_hand("q3", 3) if answers["q3"] else QuestionVerdict.not_run("q3", 3, EMPTY),
    ]
    notes = (Feedback("added cells", "Cells were added."),) if len(cells) > len(SOURCE) else ()
    return Report(assignment="double", student=student, seed="0", verdicts=tuple(verdicts), notes=notes)


__all__ = ["EMPTY", "WRONG", "cell", "grade", "hand_in", "sources"]
