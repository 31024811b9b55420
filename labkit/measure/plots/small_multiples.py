"""One panel of partition counts per partitioner, side by side on the same scale."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from labkit.measure.plots.partition_counts import Counts, count, draw_counts, draw_expectation
from labkit.measure.plots.style import counted, label_ends, new_figure, say_empty, styled

#: So many panels fit side by side.
COLUMNS = 5


@styled
def partition_small_multiples(
    counts_by_name: Mapping[str, Counts],
    *,
    partitions: int | None = None,
    band: float | None = 0.95,
    title: str | None = None,
) -> Figure:
    """A panel per name with its counts by partition; mean, band and fullest bin as in `tasks_per_partition`."""
    counts = {name: count(given, partitions) for name, given in counts_by_name.items()}
    columns = min(COLUMNS, max(len(counts), 1))
    rows = max(math.ceil(len(counts) / columns), 1)
    figure = new_figure(title or _finding(counts), height=1.3 + 2.4 * rows)
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


def _finding(counts: Mapping[str, pd.Series]) -> str:
    ratios = {name: own.max() / own.mean() for name, own in counts.items() if own.any()}
    if not ratios:
        return "No task was done."
    even, uneven = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
    if ratios[even] == ratios[uneven]:
        return f"{counted(len(ratios), 'partitioner')}: max/mean {ratios[even]:.2f}."
    return f"Most even is {even} (max/mean {ratios[even]:.2f}), least even {uneven} ({ratios[uneven]:.2f})."
