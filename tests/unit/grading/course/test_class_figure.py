"""The picture of a class."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from matplotlib.figure import Figure

from labkit.grading.course.class_figure import MOST_BARS, draw_points, points_finding
from labkit.grading.course.class_statistics import ClassStatistics, QuestionStatistics, StudentResult


def statistics(points: Sequence[float], *, possible: float = 6, waiting: int = 0) -> ClassStatistics:
    """A class with these points, of which the first `waiting` wait for a person."""
    question = QuestionStatistics("q1", "One", possible, 1, 1, 1, 1, 0, (), None)
    students = tuple(
        StudentResult(f"s{number}", {"q1": one}, ("q1",) if number < waiting else ())
        for number, one in enumerate(points)
    )
    return ClassStatistics("a1", (question,), students, {}, (), ())


def heights(figure: Figure) -> list[float]:
    """Of all students together, bar by bar."""
    last = figure.axes[0].containers[-1]
    return [bar.get_y() + bar.get_height() for bar in last]


def test_every_number_of_points_has_a_bar_full_marks_too() -> None:
    figure = draw_points(statistics([0, 0, 2, 2.4, 5, 6, 6, 6], waiting=3))
    assert heights(figure) == [2, 0, 2, 0, 0, 1, 3]


@pytest.mark.parametrize("possible", [0, 0.5, 24, 100, 10_000, 1e6])
def test_there_are_not_too_many_bars(possible: float) -> None:
    drawn = heights(draw_points(statistics([possible, 0], possible=possible)))
    assert len(drawn) <= MOST_BARS + 2
    assert sum(drawn) == 2
    assert drawn[0] + drawn[-1] >= 2


def test_a_person_may_give_more_than_there_is() -> None:
    assert heights(draw_points(statistics([8], possible=6)))[-1] == 1


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([], "Nobody is graded."),
        ([4.5], "One student, with 4.5 of 6 points."),
        ([1, 2, 3, 6], "4 students: half of them have 2.5 points or more of 6; from 1 to 6."),
    ],
)
def test_the_finding_stands_above_it(points: list[float], said: str) -> None:
    found = statistics(points)
    assert points_finding(found) == said
    figure = draw_points(found)
    figure.canvas.draw()
    assert figure.get_suptitle() == said
