"""The picture of a class: how many students have how many points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from labkit.grading.course.class_statistics import ClassStatistics, StudentResult
from labkit.measure.plots.style import (
    BLUE,
    GREY,
    INK,
    LABEL_SIZE,
    coloured_words,
    counted,
    new_figure,
    say_empty,
    styled,
)

#: With more bars than this, a bar is worth several points.
MOST_BARS = 30
#: How many points it is worth, then.
_WIDTHS = (1, 2, 5, 10, 20, 50, 100)
#: So much higher than the highest bar the axes are, for the words beside the line.
ROOM_ABOVE = 1.15
#: Of those who wait for a person, a lighter blue.
WAITING = "#56B4E9"


@styled
def draw_points(found: ClassStatistics) -> Figure:
    """Bars by points, of those who are graded; whose points a person may still change are told apart."""
    figure = new_figure(points_finding(found), height=3.2)
    axes = figure.subplots()
    if not found.students:
        say_empty(axes, "nobody is graded")
        return figure
    edges = _edges(max(found.possible, *(one.total for one in found.students)))
    final, waiting = _split(found.students)
    axes.hist([final, waiting], edges, stacked=True, color=[BLUE, WAITING], rwidth=0.9)
    middle = median([*final, *waiting])
    axes.axvline(middle, color=INK, linewidth=1.2)
    top = axes.get_ylim()[1] * ROOM_ABOVE
    axes.set(xlabel="points", ylabel="students", xlim=(edges[0], edges[-1]), ylim=(0, top))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=False, axis="x")
    _name_colours(axes, final, waiting)
    _name_line(axes, middle, edges)
    return figure


def points_finding(found: ClassStatistics) -> str:
    """What the picture shows, in a sentence."""
    if not found.students:
        return "Nobody is graded."
    totals = [one.total for one in found.students]
    if len(totals) == 1:
        return f"One student, with {totals[0]:g} of {found.possible:g} points."
    return (
        f"{counted(len(totals), 'student')}: half of them have {median(totals):g} points or more of "
        f"{found.possible:g}; from {min(totals):g} to {max(totals):g}."
    )


def _split(students: Sequence[StudentResult]) -> tuple[list[float], list[float]]:
    """The points of those whose points are final, and of the others."""
    return [one.total for one in students if not one.waiting], [one.total for one in students if one.waiting]


def _edges(most: float) -> list[float]:
    """The edges of bars around 0, 1, 2, … points, so that full marks have a bar of their own."""
    width = next((width for width in _WIDTHS if most / width <= MOST_BARS), most / MOST_BARS)
    return [(number - 0.5) * width for number in range(math.ceil(most / width) + 2)]


def _name_colours(axes: Axes, final: Sequence[float], waiting: Sequence[float]) -> None:
    words = [("all is graded", BLUE)] if final else []
    words += [("a person has still to look at an answer", WAITING)] if waiting else []
    coloured_words(axes, words)


def _name_line(axes: Axes, middle: float, edges: Sequence[float]) -> None:
    left = middle > (edges[0] + edges[-1]) / 2
    axes.annotate(
        f"half have {middle:g} or more",
        (middle, 1.0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(-4 if left else 4, -4),
        textcoords="offset points",
        ha="right" if left else "left",
        va="top",
        color=GREY,
        fontsize=LABEL_SIZE,
    )
