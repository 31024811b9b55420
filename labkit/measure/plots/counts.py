"""How the tasks spread over partitions, against what chance would do, and over workers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from labkit.measure import metrics
from labkit.measure.plots.style import (
    GREY,
    INK,
    LABEL_SIZE,
    PALE,
    EndLabel,
    counted,
    ink_on,
    label_ends,
    new_figure,
    partition_colour,
    say_empty,
    styled,
    worker_colour,
)
from labkit.parameter_checks import Share
from labkit.theory.balls_in_bins import expected_fullest_load, load_band, mean_load

#: How many tasks there are on each partition, by its number.
Counts = pd.Series | Mapping[int, int] | Sequence[int]

#: With more bars than this, neither their names nor their numbers would fit.
MOST_BARS = 16
#: A number needs a bar of this height to stand in, as a part of the axes' height.
ROOM_FOR_NUMBER = 0.09


@styled
def tasks_per_partition(
    records_or_counts: pd.DataFrame | Counts,
    *,
    partitions: int | None = None,
    band: Share | None = 0.95,
    title: str | None = None,
) -> Figure:
    """Bars: tasks done in each partition, with what balls in bins would do: mean, band and fullest bin.

    Takes records, or counts by partition. The band holds each single partition with the probability `band`
    if every task lands at random; None leaves it out, with the fullest bin.
    """
    counts = count(records_or_counts, partitions)
    figure = new_figure(title or _partitions_finding(counts, band), height=4.0)
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


def _partitions_finding(counts: pd.Series, band: float | None) -> str:
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


#: So many panels fit side by side.
PANELS_PER_ROW = 5


@styled
def partition_small_multiples(
    counts_by_name: Mapping[str, Counts],
    *,
    partitions: int | None = None,
    band: Share | None = 0.95,
    title: str | None = None,
) -> Figure:
    """A panel per name with its counts by partition; mean, band and fullest bin as in `tasks_per_partition`."""
    counts = {name: count(given, partitions) for name, given in counts_by_name.items()}
    columns = min(PANELS_PER_ROW, max(len(counts), 1))
    rows = max(math.ceil(len(counts) / columns), 1)
    figure = new_figure(title or _multiples_finding(counts), height=1.3 + 2.4 * rows)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[len(counts) :]:
        axes.set_axis_off()
    labels = []
    for axes, (name, own) in zip(panels.flat, counts.items(), strict=False):
        axes.set_title(f"{name}\n{_unevenness(own)}")
        axes.set_xlabel("partition")
        axes.label_outer()
        if own.empty:
            say_empty(axes, "no partition")
            continue
        draw_counts(axes, own)
        labels.append((axes, draw_expectation(axes, own, band)))
    # the limits of a shared axis stand only now
    for axes, texts in labels[columns - 1 :: columns] or labels[-1:]:
        label_ends(axes, texts)
    for axes in panels[:, 0]:
        axes.set_ylabel("tasks")
    return figure


def _unevenness(counts: pd.Series) -> str:
    return f"max/mean {counts.max() / counts.mean():.2f}" if counts.any() else "no task"


def _multiples_finding(counts: Mapping[str, pd.Series]) -> str:
    ratios = {name: own.max() / own.mean() for name, own in counts.items() if own.any()}
    if not ratios:
        return "No task was done."
    even, uneven = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
    if ratios[even] == ratios[uneven]:
        return f"{counted(len(ratios), 'partitioner')}: max/mean {ratios[even]:.2f}."
    return f"Most even is {even} (max/mean {ratios[even]:.2f}), least even {uneven} ({ratios[uneven]:.2f})."


@styled
def tasks_per_worker(records: pd.DataFrame, *, workers: Iterable[str] = (), title: str | None = None) -> Figure:
    """Bars: tasks done by each worker, with the even share as a grey line.

    Name `workers` to see those that did nothing.
    """
    counts = metrics.tasks_per_worker(records, workers)
    figure = new_figure(title or _workers_finding(counts), height=1.5 + 0.45 * max(len(counts), 2))
    axes = figure.subplots()
    if counts.empty:
        say_empty(axes, "no worker")
        return figure
    bars = axes.barh(counts.index, counts, height=0.65, color=[worker_colour(name) for name in counts.index])
    axes.bar_label(bars, labels=[f"{count:,}" for count in counts], padding=4, color=INK)
    axes.axvline(counts.mean(), color=GREY, linewidth=1.2, zorder=0)
    axes.annotate(
        f"even share {counts.mean():,.4g}",
        xy=(counts.mean(), 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        color=GREY,
        fontsize=LABEL_SIZE,
    )
    axes.set(xlabel="tasks done", xlim=(0, 1.08 * max(counts.max(), 1)))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.invert_yaxis()
    axes.grid(visible=False)
    return figure


def _workers_finding(counts: pd.Series) -> str:
    done = f"{counted(len(counts), 'worker')} did {counted(int(counts.sum()), 'task')}"
    if not counts.any():
        return "No task was done."
    idle = [str(name) for name in counts.index[counts == 0]]
    if idle:
        return f"{done}; {', '.join(idle)} did none."
    if len(counts) == 1:
        return f"{done}."
    return f"{done}; the busiest did {counts.max() / counts.mean():.2f} times the even share."
