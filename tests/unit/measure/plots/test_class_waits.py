"""How long each class waits, by utilisation and by policy; assertions are on what is drawn, not on pixels."""

from io import BytesIO
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from labkit.measure import plots, to_frame
from labkit.measure.plots.style import priority_colour


def png(figure: Figure) -> bytes:
    image = BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()


def texts(figure: Figure) -> list[str]:
    """Everything written inside the figure's axes."""
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def heading(figure: Figure) -> str:
    return figure.get_suptitle()


def waits_by_utilisation(low: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"high": [0.1, 0.2, 0.3], "low": low}, index=[0.5, 0.9, 1.3])


def test_waiting_by_utilisation():
    formula = waits_by_utilisation([0.2, 2.0, np.inf])
    measured = waits_by_utilisation([0.3, 2.1, 5.0])
    figure = plots.waiting_by_utilisation(formula, simulation=measured * 2, broker=measured)
    (axes,) = figure.axes
    high, simulated, broker, low = axes.lines[0], axes.lines[1], axes.lines[2], axes.lines[3]
    assert axes.get_yscale() == "log"
    assert (high.get_color(), low.get_color()) == (priority_colour(0), priority_colour(1))
    assert low.get_xydata().tolist() == [[0.5, 0.2], [0.9, 2.0]], "the line ends where the formula does"
    assert simulated.get_ydata().tolist() == [0.2, 0.4, 0.6]
    assert broker.get_ydata().tolist() == [0.1, 0.2, 0.3]
    assert axes.lines[-1].get_xdata() == [1.3, 1.3]
    assert set(texts(figure)) == {"high", "low", " low starves"}
    assert heading(figure) == "low starves from a utilisation of 1.3 on."
    assert png(figure)


def test_waiting_by_utilisation_where_nobody_starves_and_of_nothing():
    calm = waits_by_utilisation([0.2, 0.3, 0.4])
    assert heading(plots.waiting_by_utilisation(calm, simulation=calm, broker=calm)).startswith("No class starves")
    nothing = calm.iloc[:0]
    assert png(plots.waiting_by_utilisation(nothing, simulation=nothing, broker=nothing))
    with pytest.raises(ValueError, match="same classes"):
        plots.waiting_by_utilisation(calm, simulation=calm[["high"]], broker=calm)


def test_who_waits(attempt):
    strict = to_frame([attempt(0, 1, 2), attempt(0, 1, 2), attempt(0, 4, 5, priority=1)])
    fair = to_frame([attempt(0, 2, 3), attempt(0, 2, 3), attempt(0, 2, 3, priority=1)])
    figure = plots.who_waits({"broker": {"strict": strict, "fair": fair}}, classes=["high", "low"])
    (axes,) = figure.axes
    parts = [(round(bar.get_x(), 6), round(bar.get_width(), 6)) for bar in axes.patches]
    assert parts == [(0, 0.666667), (0.666667, 1.333333), (0, 1.333333), (1.333333, 0.666667)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["strict", "fair"]
    assert texts(figure) == ["1.00 s", "4.00 s", "2.00 s", "2.00 s"]
    assert heading(figure) == "All tasks together wait 2.00 s to 2.00 s on average."
    assert png(figure)


def test_the_times_under_the_bars_do_not_run_into_each_other(attempt):
    runs = {"strict": to_frame([attempt(0, 1.5, 2)])}
    figure = plots.who_waits({"broker": runs, "simulation": runs}, classes=["high", "low"])
    assert png(figure)
    for axes in figure.axes:
        boxes = [
            label.get_window_extent()
            for label in axes.get_xticklabels()
            if label.get_position()[0] <= axes.get_xlim()[1]
        ]
        assert len(boxes) > 2
        assert all(left.x1 + 4 < right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize("panels", [{}, {"broker": {}}, {"broker": {"strict": None}, "simulation": {"strict": None}}])
def test_who_waits_of_nothing(panels):
    panels = {name: dict.fromkeys(runs, to_frame([])) for name, runs in panels.items()}
    figure = plots.who_waits(panels, classes=["high", "low"])
    assert heading(figure).endswith(".")
    assert png(figure)
