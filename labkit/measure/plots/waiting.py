"""How long tasks waited, class by class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.measure import metrics
from labkit.measure.plots.placement import spots_beside
from labkit.measure.plots.style import (
    HALO,
    LABEL_SIZE,
    duration,
    in_seconds,
    new_figure,
    partition_colour,
    priority_colour,
    say_empty,
    styled,
    worker_colour,
)

#: A logarithmic axis has no 0: shorter times are drawn at this one, in seconds.
FLOOR = 1e-4

By = Literal["priority", "worker", "partition"]

_COLOURS: dict[By, Callable[[Any], str]] = {
    "priority": priority_colour,
    "worker": worker_colour,
    "partition": partition_colour,
}


@styled
def waiting_ecdf(records: pd.DataFrame, *, by: By = "priority", title: str | None = None) -> Figure:
    """The share of tasks that waited no longer than t, one line per class, t on a logarithmic axis.

    Waiting is from scheduled to started, of successful attempts (see `metrics.times`).
    """
    waiting = metrics.times(records)["waiting_s"]
    figure = new_figure(title or _finding(waiting), height=4.0)
    axes = figure.subplots()
    if waiting.empty:
        say_empty(axes, "no task was done")
        return figure
    drawn = waiting.clip(lower=FLOOR)
    groups: dict[Any, pd.Series] = dict(iter(drawn.groupby(records[by])))
    for name, own in groups.items():
        axes.ecdf(own, color=_COLOURS[by](name))
    floor = f" (shorter than {duration(FLOOR)} drawn there)" if (waiting < FLOOR).any() else ""
    axes.set(xlabel=f"waiting time, log scale{floor}", ylabel="share of tasks", ylim=(0, 1.02))
    axes.set(xscale="log", xlim=(drawn.min() / 1.2, drawn.max() * 1.2))
    axes.xaxis.set_major_formatter(in_seconds())
    _label_lines(axes, by, groups)
    return figure


def _label_lines(axes: Axes, by: By, groups: dict[Any, pd.Series]) -> None:
    colours = {_name(by, group): _COLOURS[by](group) for group in groups}
    samples = {_name(by, group): own.to_numpy() for group, own in groups.items()}
    texts = {name: f"{name}, median {duration(float(np.median(values)))}" for name, values in samples.items()}
    for name, spot in spots_beside(axes, samples, texts).items():
        axes.annotate(
            texts[name],
            xy=(spot.x, spot.y),
            xytext=(7 if spot.side == "right" else -7, 0),
            textcoords="offset points",
            ha="left" if spot.side == "right" else "right",
            va="center",
            color=colours[name],
            fontsize=LABEL_SIZE,
            fontweight="bold",
            path_effects=HALO,
        )


def _name(by: By, group: object) -> str:
    return str(group) if by == "worker" else f"{by} {group}"


def _finding(waiting: pd.Series) -> str:
    if waiting.empty:
        return "No task was done."
    median, late = duration(waiting.median()), duration(float(waiting.quantile(0.99)))
    return f"Half of the tasks waited no longer than {median}, one in a hundred longer than {late}."
