"""How the tasks spread over the partitions, against what chance would do."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from labkit.measure import metrics
from labkit.measure.plots.style import (
    GREY,
    INK,
    PALE,
    EndLabel,
    counted,
    ink_on,
    label_ends,
    new_figure,
    partition_colour,
    say_empty,
    styled,
)
from labkit.theory.balls_in_bins import expected_fullest_load, load_band, mean_load

Counts = pd.Series | Mapping[int, int]

#: With more bars than this, neither their names nor their numbers would fit.
MOST_BARS = 16
#: A number needs a bar of this height to stand in, as a part of the axes' height.
ROOM_FOR_NUMBER = 0.09


@styled
def tasks_per_partition(
    records_or_counts: pd.DataFrame | Counts,
    *,
    partitions: int | None = None,
    band: float | None = 0.95,
    title: str | None = None,
) -> Figure:
    """Bars: tasks done in each partition, with what balls in bins would do: mean, band and fullest bin.

    Takes records, or counts by partition. The band holds each single partition with the probability `band`
    if every task lands at random; None leaves it out, with the fullest bin.
    """
    counts = count(records_or_counts, partitions)
    figure = new_figure(title or _finding(counts, band), height=4.0)
    axes = figure.subplots()
    if counts.empty:
        say_empty(axes, "no partition")
        return figure
    bars = draw_counts(axes, counts)
    labels = draw_expectation(axes, counts, band)
    if len(counts) <= MOST_BARS:
        _label_bars(axes, bars, counts)
    axes.set(xlabel="partition", ylabel="tasks")
    label_ends(axes, labels)
    return figure


def count(records_or_counts: pd.DataFrame | Counts, partitions: int | None = None) -> pd.Series:
    """The counts by partition in ascending order, with 0 for the empty ones of `partitions`."""
    if isinstance(records_or_counts, pd.DataFrame):
        return metrics.tasks_per_partition(records_or_counts, partitions)
    counts = pd.Series(records_or_counts, dtype="int64")
    return counts.reindex(sorted({*counts.index, *range(partitions or 0)}), fill_value=0)


def draw_counts(axes: Axes, counts: pd.Series) -> BarContainer:
    """The bars, one per partition, in the partitions' colours."""
    partitions = [int(partition) for partition in counts.index]
    bars = axes.bar(partitions, counts, width=0.7, color=[partition_colour(partition) for partition in partitions])
    if len(counts) <= MOST_BARS:
        axes.set_xticks(partitions)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _leave_room(axes, counts.max())
    return bars


def draw_expectation(axes: Axes, counts: pd.Series, band: float | None) -> list[EndLabel]:
    """The lines of balls in bins and their labels: mean, and with a band, the band and the fullest bin."""
    balls, bins = int(counts.sum()), len(counts)
    mean = mean_load(balls, bins)
    axes.axhline(mean, color=INK, linewidth=1.0)
    labels = [EndLabel(mean, f"mean {mean:,.4g}", INK)]
    if band is None or balls == 0:
        return labels
    low, high = load_band(balls, bins, band)
    fullest = expected_fullest_load(balls, bins)
    axes.axhspan(low, high, color=PALE, zorder=0.5)
    axes.axhline(fullest, color=GREY, linewidth=1.2, linestyle=(0, (4, 3)))
    _leave_room(axes, max(high, fullest))
    return [
        *labels,
        EndLabel(low, f"{band * 100:g} % band {low:,} to {high:,}", GREY),
        EndLabel(fullest, f"fullest expected {fullest:,.4g}", GREY),
    ]


def _label_bars(axes: Axes, bars: BarContainer, counts: pd.Series) -> None:
    """The numbers at the foot of the bars, where no line crosses them; above a bar too low to hold one."""
    enough = ROOM_FOR_NUMBER * axes.get_ylim()[1]
    for bar, number in zip(bars.patches, counts, strict=True):
        inside = number >= enough
        axes.annotate(
            f"{number:,}",
            xy=(bar.get_x() + bar.get_width() / 2, 0 if inside else number),
            xytext=(0, 5 if inside else 3),
            textcoords="offset points",
            ha="center",
            color=ink_on(bar.get_facecolor()) if inside else INK,
        )


def _leave_room(axes: Axes, height: float) -> None:
    # never less than before: panels may share the axis
    axes.set_ylim(0, max(axes.get_ylim()[1], 1.12 * height, 1))


def _finding(counts: pd.Series, band: float | None) -> str:
    balls, bins = int(counts.sum()), len(counts)
    if balls == 0:
        return "No task was done."
    spread = f"{counted(balls, 'task')} over {counted(bins, 'partition')}"
    if bins == 1:
        return f"{spread}."
    if band is None:
        return f"{spread}: the fullest has {counts.max() / counts.mean():.2f} times the mean."
    low, high = load_band(balls, bins, band)
    outside = int(((counts < low) | (counts > high)).sum())
    where = f"{outside} of them outside" if outside else "all within"
    return f"{spread}: the fullest has {counts.max():,}; {where} the {band * 100:g} % band of chance."
