"""How the tasks spread over the workers."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from labkit.measure import metrics
from labkit.measure.plots.style import GREY, INK, LABEL_SIZE, counted, new_figure, say_empty, styled, worker_colour


@styled
def tasks_per_worker(records: pd.DataFrame, *, workers: Iterable[str] = (), title: str | None = None) -> Figure:
    """Bars: tasks done by each worker, with the even share as a grey line.

    Name `workers` to see those that did nothing.
    """
    counts = metrics.tasks_per_worker(records, workers)
    figure = new_figure(title or _finding(counts), height=1.5 + 0.45 * max(len(counts), 2))
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


def _finding(counts: pd.Series) -> str:
    done = f"{counted(len(counts), 'worker')} did {counted(int(counts.sum()), 'task')}"
    if not counts.any():
        return "No task was done."
    idle = [str(name) for name in counts.index[counts == 0]]
    if idle:
        return f"{done}; {', '.join(idle)} did none."
    if len(counts) == 1:
        return f"{done}."
    return f"{done}; the busiest did {counts.max() / counts.mean():.2f} times the even share."
