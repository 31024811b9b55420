"""The Gantt chart by what its bars are coloured."""

from matplotlib.colors import to_hex

from labkit.measure import plots
from labkit.measure.plots.style import partition_colour, priority_colour


def colours(figure):
    return {to_hex(bars.get_facecolor()[0]) for bars in figure.axes[0].collections}


def test_bars_are_coloured_by_partition_or_by_priority(many):
    records = many.assign(priority=many.index % 2)
    assert colours(plots.gantt(records)) == {partition_colour(number).lower() for number in (0, 1)}
    assert colours(plots.gantt(records, by="priority")) == {priority_colour(number).lower() for number in (0, 1)}
