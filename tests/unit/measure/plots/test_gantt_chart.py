"""The Gantt chart by what its bars are coloured."""

from __future__ import annotations

from io import BytesIO

import pytest
from matplotlib.colors import to_hex

from labkit.measure import plots, to_frame
from labkit.measure.plots.gantt_chart import PARTS
from labkit.measure.plots.style import partition_colour, priority_colour
from labkit.measure.task_record import FAILED


def colours(figure):
    return {to_hex(bars.get_facecolor()[0]) for bars in figure.axes[0].collections}


def test_bars_are_coloured_by_partition_or_by_priority(many):
    records = many.assign(priority=many.index % 2)
    assert colours(plots.gantt(records)) == {partition_colour(number).lower() for number in (0, 1)}
    assert colours(plots.gantt(records, by="priority")) == {priority_colour(number).lower() for number in (0, 1)}


def widths(axes):
    """The parts of each row, in seconds, in the order of PARTS."""
    bars = [bar.get_width() for bar in axes.patches]
    rows = len(bars) // len(PARTS)
    return [pytest.approx(bars[row::rows]) for row in range(rows)]


def test_the_parts_of_a_row_are_the_parts_of_the_journey(attempt):
    first = attempt(scheduled=0.0, started=0.3, finished=0.6)
    moments = {"received_at": first.scheduled_at + 0.1}
    frame = to_frame([first]).assign(**moments)
    (axes,) = plots.journeys({"prefetch 1": frame}).axes
    assert widths(axes) == [[0.1, 0.2, 0.3]]
    assert axes.patches[1].get_x() == pytest.approx(0.1)


def test_panels_share_their_scale_and_rows_are_in_order_of_arrival(attempt):
    late, early = attempt(scheduled=5.0, started=5.2, finished=5.3), attempt(scheduled=1.0, started=1.1, finished=1.4)
    two = to_frame([late, early])
    figure = plots.journeys({"one": two.head(1), "two": two})
    left, right = figure.axes
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()
    performed = right.patches[-2:]
    assert [bar.get_width() for bar in performed] == pytest.approx([0.3, 0.1]), "the one that came first is on top"
    assert figure.get_suptitle().startswith("3 tasks; the medians: ")


def test_only_what_was_done_is_drawn(attempt):
    figure = plots.journeys({"one": to_frame([attempt(outcome=FAILED)])})
    assert figure.get_suptitle() == "No task was done."


@pytest.mark.parametrize("given", [{}, {"one": to_frame([])}, {"one": to_frame([]), "two": to_frame([])}])
def test_without_a_task(given):
    figure = plots.journeys(given, title="Nothing came.")
    assert figure.get_suptitle() == "Nothing came."
    figure.savefig(BytesIO())
