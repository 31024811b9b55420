"""How a class has done, as tables of a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table

from labkit.grading.course.class_statistics import ClassStatistics, QuestionStatistics
from labkit.plain_text import one_line

#: How many mistakes of a question are told.
MOST_MISTAKES = 3


def print_statistics(found: ClassStatistics) -> None:
    """Points and mistakes by question, and whose work could not be graded."""
    Console(highlight=False, markup=False, soft_wrap=True).print(_points(found))
    for question in found.questions:
        _print_mistakes(question)
    for student, why in found.unreadable.items():
        print(one_line(f"{student}: {why}"))
    if found.not_graded:
        names = one_line(", ".join(found.not_graded))
        print(f"Handed in and not graded: {names}. `labkit grade auto` grades them, or says why.")
    if found.missing:
        print(one_line(f"Handed in nothing: {', '.join(found.missing)}."))


def _points(found: ClassStatistics) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    table.add_column(one_line(found.assignment))
    for heading in ("mean", "of", "difficulty", "discrimination", "full", "partial", "none", "by hand"):
        table.add_column(heading, justify="right")
    for one in found.questions:
        judged = one.full + one.partial + one.none
        shares = [f"{count / judged:.0%}" if judged else "" for count in (one.full, one.partial, one.none)]
        mean, *indices = ("" if x is None else f"{x:.2f}" for x in (one.mean, one.difficulty, one.discrimination))
        row = (f"{one.question}: {one.title}", mean, f"{one.possible:g}", *indices, *shares, str(one.waiting or ""))
        table.add_row(*map(one_line, row))
    return table


def _print_mistakes(question: QuestionStatistics) -> None:
    if question.mistakes:
        print(one_line(f"{question.question}: {question.title}"))
        for mistake in question.mistakes[:MOST_MISTAKES]:
            print(one_line(f"  {mistake.students} x {mistake.name}: {mistake.sentence}"))
