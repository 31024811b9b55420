"""Runs with different strategies side by side."""

import math
from io import BytesIO

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from labkit.measure import plots, to_frame
from labkit.measure.plots.style import BLUE, GREY
from labkit.measure.records import TurnedAway, turned_away_frame
from tests.unit.measure.conftest import START

pytestmark = pytest.mark.slow

NOBODY = turned_away_frame([])


def test_each_run_has_a_column_with_its_recovery_and_what_was_turned_away(many):
    away = turned_away_frame([TurnedAway(at=START + 1, action="shed_newest", priority=0)] * 3)
    figure = plots.pressures(
        {"no limit": (many, NOBODY), "shed": (many, away)},
        overload=(1.0, 2.0),
        recovery={"no limit": math.inf, "shed": 0.4},
    )
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == [
        "no limit\nnot recovered\n0 tasks turned away",
        "shed\nrecovered after 0.4 s\n3 tasks turned away",
    ]
    assert figure.get_suptitle() == "With shed the run recovers first, with no limit last."
    (left, right), (left_places, _), (left_wait, right_wait) = np.array(figure.axes).reshape(3, 2)
    assert left.get_ylim() == right.get_ylim()
    assert left_wait.get_ylim() == right_wait.get_ylim()
    assert set(lines(left)) == {GREY.upper(), BLUE.upper()}
    assert lines(right)[GREY.upper()].sum() > lines(left)[GREY.upper()].sum(), "what was turned away was offered"
    assert [patch.get_x() for patch in left_places.patches] == [1.0]
    assert not left_places.lines


def test_the_queue_is_split_at_the_door(attempt):
    """Ten tasks are scheduled at once; the producer waits 2 s, then they are sent, and 1 s later all are done."""
    records = to_frame([attempt(0.0, 2.0, 3.0, produced_at=START + 2) for _ in range(10)])
    figure = plots.pressures({"pause": (records, NOBODY)}, overload=(0.0, 1.0), recovery={"pause": 0.0})
    behind, in_front = figure.axes[1].collections
    assert height(behind, 1.0) == 0
    assert height(in_front, 1.0) == 10
    assert height(behind, 2.5) == 10


def height(area, at):
    """The thickness of a stacked area at this time."""
    vertices = area.get_paths()[0].vertices
    near = vertices[np.abs(vertices[:, 0] - at) < 0.02]
    return float(np.ptp(near[:, 1]))


@pytest.mark.parametrize("title", [None, "Nothing helps."])
def test_pressures_of_no_one_and_many_rows(records, title):
    figure = plots.pressures(
        {"one": (records, NOBODY), "other": (records, NOBODY)},
        overload=(0.0, 1.0),
        recovery={"one": 1.0, "other": 1.0},
        title=title,
    )
    assert figure.get_suptitle() == (title or "No run recovers sooner than another.")
    assert png(figure)


def test_pressures_of_nothing():
    figure = plots.pressures({}, overload=(0.0, 1.0), recovery={})
    assert figure.get_suptitle() == "Nothing was run."
    assert png(figure)


def lines(axes):
    """What is drawn, by its colour."""
    return {to_hex(line.get_color()).upper(): line.get_ydata() for line in axes.lines}


def png(figure: Figure) -> bytes:
    image = BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()
