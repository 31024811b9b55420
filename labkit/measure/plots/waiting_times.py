"""How long tasks waited, class by class, and which class bears how much of all waiting.

A line's name stands beside it where it is over no other line and no other name; heights and widths are parts of the
axes' height and width, so the limits of both axes must stand before names are placed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from labkit.measure import metrics
from labkit.measure.plots.style import (
    HALO,
    LABEL_SIZE,
    coloured_words,
    duration,
    in_seconds,
    ink_on,
    new_figure,
    partition_colour,
    priority_colour,
    say_empty,
    styled,
    worker_colour,
)

#: About the size of a label's letters, and the gap between a label and its line.
LETTER_WIDTH, LETTER_HEIGHT, GAP = 0.0105, 0.07, 0.012
#: The heights at which a name may stand, as values of the cumulative share.
LEVELS = np.linspace(0.08, 0.95, 30)
#: How much worse it is to cross another line than one's own, and to leave the axes or cover another name.
OTHERS, FORBIDDEN = 3.0, 100_000.0

Points = npt.NDArray[np.float64]


class Spot(NamedTuple):
    """A label's anchor on its line, in the data's units, and the side of the line on which it stands."""

    x: float
    y: float
    side: str


class _Box(NamedTuple):
    left: float
    right: float
    bottom: float
    top: float


def spots_beside(axes: Axes, samples: Mapping[str, Points], texts: Mapping[str, str]) -> dict[str, Spot]:
    """For each name, where its text stands best beside the cumulative distribution of its samples."""
    curves = {name: _in_axes(axes, _points(values)) for name, values in samples.items()}
    taken: list[_Box] = []
    spots = {}
    for name, values in samples.items():
        others = np.concatenate([np.empty((0, 2)), *(curve for other, curve in curves.items() if other != name)])
        candidates = [
            (_cost(box, curves[name], others, taken) + abs(level - 0.5), Spot(x, level, side), box)
            for level in LEVELS.tolist()
            for x in [float(np.quantile(values, level, method="inverted_cdf"))]
            for side, box in _boxes(axes, x, level, len(texts[name])).items()
        ]
        _, spots[name], box = min(candidates)
        taken.append(box)
    return spots


def _points(values: Points) -> Points:
    """Points along the steps of the distribution, close enough that no label slips between them."""
    shares = np.linspace(0, 1, 200)
    rises = np.column_stack([np.quantile(values, shares, method="inverted_cdf"), shares])
    places = np.geomspace(values.min(), values.max(), 400)
    flats = np.column_stack([places, np.searchsorted(np.sort(values), places, side="right") / values.size])
    return np.concatenate([rises, flats])


def _in_axes(axes: Axes, points: Points) -> Points:
    return np.asarray((axes.transScale + axes.transLimits).transform(points), dtype=np.float64)


def _boxes(axes: Axes, x: float, y: float, letters: int) -> dict[str, _Box]:
    (across, up) = _in_axes(axes, np.array([[x, y]]))[0].tolist()
    width, bottom, top = letters * LETTER_WIDTH, up - LETTER_HEIGHT / 2, up + LETTER_HEIGHT / 2
    return {
        "left": _Box(across - GAP - width, across - GAP, bottom, top),
        "right": _Box(across + GAP, across + GAP + width, bottom, top),
    }


def _cost(box: _Box, own: Points, others: Points, taken: list[_Box]) -> float:
    # nor may another line run between the name and its own
    reach = box._replace(left=box.left - GAP, right=box.right + GAP)
    covers = any(
        box.left < other.right and other.left < box.right and box.bottom < other.top and other.bottom < box.top
        for other in taken
    )
    outside = box.left < 0 or box.right > 1
    return _inside(box, own) + OTHERS * _inside(reach, others) + FORBIDDEN * (covers + outside)


def _inside(box: _Box, points: Points) -> int:
    x, y = points.T
    return int(((box.left < x) & (x < box.right) & (box.bottom < y) & (y < box.top)).sum())


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
    figure = new_figure(title or _waiting_finding(waiting), height=4.0)
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


def _waiting_finding(waiting: pd.Series) -> str:
    if waiting.empty:
        return "No task was done."
    median, late = duration(waiting.median()), duration(float(waiting.quantile(0.99)))
    return f"Half of the tasks waited no longer than {median}, one in a hundred longer than {late}."


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
    figure = new_figure(title or _who_waits_finding(panels), height=1.7 + 0.42 * max(rows, 2))
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
    axes.xaxis.set_major_locator(MaxNLocator(4))  # room for labels such as 750 ms, also in several panels
    axes.grid(visible=False)
    for run, table in bars.items():
        means, widths = table["mean_s"].tolist(), table["part_s"].tolist()
        for rank, (mean, width) in enumerate(zip(means, widths, strict=True)):
            colour, left = priority_colour(rank), sum(widths[:rank])
            bar = axes.barh([run], [width], left=left, height=0.65, color=colour)
            label = duration(mean) if width > NARROW * longest else ""
            axes.bar_label(bar, [label], label_type="center", color=ink_on(colour), fontsize=LABEL_SIZE)


def _who_waits_finding(panels: Mapping[str, Mapping[str, pd.DataFrame]]) -> str:
    means = [metrics.times(records)["waiting_s"].mean() for runs in panels.values() for records in runs.values()]
    if not means:
        return "Nothing was run."
    return f"All tasks together wait {duration(min(means))} to {duration(max(means))} on average."
