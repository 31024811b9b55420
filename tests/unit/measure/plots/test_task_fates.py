"""What became of the tasks, drawn."""

from io import BytesIO

import pandas as pd
import pytest

from labkit.measure import plots
from labkit.measure.fates import FATES


def counts(rows: dict[str, tuple[int, int, int, int]]) -> pd.DataFrame:
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(FATES))


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts if text.get_text()]


def test_a_bar_is_as_long_as_what_was_produced():
    figure = plots.fate_counts(counts({"high": (60, 5, 0, 0), "low": (90, 0, 75, 2)}))
    (axes,) = figure.axes
    bars = axes.patches
    assert [bar.get_width() for bar in bars] == [60, 90, 5, 0, 0, 75, 0, 2]
    assert max(bar.get_x() + bar.get_width() for bar in bars) == 167
    assert {"65 produced", "167 produced", "60", "90", "75"} <= set(texts(figure))
    assert "2" not in texts(figure), "too narrow for its number"
    assert figure.get_suptitle() == "232 tasks: 150 done, 5 dead, 75 shed, and 2 are missing."


def test_that_nothing_is_missing_is_said():
    figure = plots.fate_counts(counts({"high": (1, 0, 0, 0)}))
    assert figure.get_suptitle() == "1 task: 1 done, 0 dead, 0 shed, and none is missing."


@pytest.mark.parametrize("rows", [{}, {"high": (0, 0, 0, 0)}])
def test_without_a_task(rows):
    figure = plots.fate_counts(counts(rows), title="Nothing came.")
    assert texts(figure) == ["no task"]
    assert figure.get_suptitle() == "Nothing came."
    figure.savefig(BytesIO())
