"""A table drawn as a picture, like the output of a program in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from labkit.measure.plots.style import GREY, INK, PALE, new_figure

#: So many lines are shown; a last one says how many more there are.
LINES = 12
#: A line's height in inches, and the size in points of its letters, which are all equally wide.
LINE_HEIGHT, LETTER_SIZE = 0.235, 9.5
#: So many letters fit side by side, and so many into one cell.
LETTERS_PER_LINE, LETTERS_PER_CELL = 106, 38
#: So many letters keep the columns apart.
GAP = 3


class Cell(NamedTuple):
    """A text and its colour."""

    text: str
    colour: str = INK


def draw_listing(title: str, heading: Sequence[str], rows: Sequence[Sequence[Cell]], last: str) -> Figure:
    """A figure with a heading, rows of cells in columns as wide as they need, and a last line in grey."""
    body = [[Cell(_shorten(cell.text), cell.colour) for cell in row] for row in rows]
    lines = [[Cell(name, GREY) for name in heading], *body, [Cell(last, GREY)]]
    figure = new_figure(title, height=0.75 + LINE_HEIGHT * (len(lines) + 1))
    axes = figure.subplots()
    axes.set(xlim=(-2, LETTERS_PER_LINE), ylim=(len(lines), -1), xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set(visible=True, color=PALE)
    axes.axhline(0.5, color=PALE, linewidth=1)
    starts = _starts(lines[:-1])
    for y, line in enumerate(lines):
        for x, cell in zip(starts, line, strict=False):
            axes.text(x, y, cell.text, color=cell.colour, family="monospace", fontsize=LETTER_SIZE, va="center")
    return figure


def more(number: int) -> str:
    """The last line of a listing from which so many lines were left out."""
    return f"… and {number:,} more" if number else "that is all"


def _starts(lines: Sequence[Sequence[Cell]]) -> list[int]:
    widths = [max(len(cell.text) for cell in column) + GAP for column in zip(*lines, strict=True)]
    return [sum(widths[:column]) for column in range(len(widths))]


def _shorten(text: str) -> str:
    return text if len(text) <= LETTERS_PER_CELL else text[: LETTERS_PER_CELL - 1] + "…"
