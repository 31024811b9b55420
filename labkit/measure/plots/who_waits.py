"""Who waits under which policy: the waiting of all tasks, and which class bears how much of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.measure import metrics
from labkit.measure.plots.style import (
    LABEL_SIZE,
    coloured_words,
    duration,
    in_seconds,
    ink_on,
    new_figure,
    priority_colour,
    say_empty,
    styled,
)

#: A part of a bar narrower than this share of the axis has no room for a number.
NARROW = 0.16


@styled
def who_waits(
    panels: Mapping[str, Mapping[str, pd.DataFrame]], *, classes: Sequence[str], title: str | None = None
) -> Figure:
    """A panel per entry with a bar per run: mean waiting time over all tasks, and the part of each class in it.

    `panels`: name -> name of a run, such as its policy -> records. A part is the waiting of the class over the number
    of all tasks, and the number in it is the mean of the class itself; `classes` are their names in rank order.
    """
    rows = max((len(runs) for runs in panels.values()), default=0)
    figure = new_figure(title or _finding(panels), height=1.7 + 0.42 * max(rows, 2))
    if not rows:
        say_empty(figure.subplots(), "no run")
        return figure
    drawn = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (name, runs) in zip(drawn, panels.items(), strict=True):
        axes.set_title(name, pad=20)
        _draw(axes, {run: parts(records, len(classes)) for run, records in runs.items()})
    drawn[0].invert_yaxis()
    coloured_words(drawn[0], [(name, priority_colour(rank)) for rank, name in enumerate(classes)])
    return figure


def parts(records: pd.DataFrame, classes: int) -> pd.DataFrame:
    """Per rank the `mean_s` waiting of its tasks and its `part_s` in the mean of all, in seconds."""
    waiting = metrics.times(records)["waiting_s"].groupby(records["priority"])
    table = pd.DataFrame({"mean_s": waiting.mean(), "part_s": waiting.sum() / max(len(metrics.successful(records)), 1)})
    return table.reindex(range(classes), fill_value=0.0)


def _draw(axes: Axes, bars: Mapping[str, pd.DataFrame]) -> None:
    longest = max(table["part_s"].sum() for table in bars.values()) or 1.0
    axes.set(xlabel="mean waiting time of all tasks", xlim=(0, 1.05 * longest))
    axes.xaxis.set_major_formatter(in_seconds())
    axes.grid(visible=False)
    for run, table in bars.items():
        means, widths = table["mean_s"].tolist(), table["part_s"].tolist()
        for rank, (mean, width) in enumerate(zip(means, widths, strict=True)):
            colour, left = priority_colour(rank), sum(widths[:rank])
            bar = axes.barh([run], [width], left=left, height=0.65, color=colour)
            label = duration(mean) if width > NARROW * longest else ""
            axes.bar_label(bar, [label], label_type="center", color=ink_on(colour), fontsize=LABEL_SIZE)


def _finding(panels: Mapping[str, Mapping[str, pd.DataFrame]]) -> str:
    means = [metrics.times(records)["waiting_s"].mean() for runs in panels.values() for records in runs.values()]
    if not means:
        return "Nothing was run."
    return f"All tasks together wait {duration(min(means))} to {duration(max(means))} on average."
