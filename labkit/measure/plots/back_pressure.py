"""Back-pressure: what is offered, what is served, and the queue between them, on one time axis."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from labkit.measure import metrics
from labkit.measure.plots.style import (
    BLUE,
    GREY,
    LABEL_SIZE,
    VERMILLION,
    EndLabel,
    counted,
    duration,
    in_seconds,
    label_ends,
    new_figure,
    say_empty,
    styled,
)

#: A bin of time should hold about so many tasks.
TASKS_PER_BIN = 8


@styled
def timeline(records: pd.DataFrame, *, turned_away: pd.DataFrame | None = None, title: str | None = None) -> Figure:
    """Three panels on one time axis: offered and served rate, lag, and waiting time (p50 and p99).

    Given what was refused, shed or spilled (see `labkit.measure.turned_away`), the first one also shows the rate of
    what was accepted.
    """
    figure = new_figure(title or _finding(records, turned_away), height=5.6)
    panels = figure.subplots(3, 1, sharex=True)
    bins = min(metrics.BINS, max(len(records) // TASKS_PER_BIN, 2))
    rates = metrics.rates(records, bins, turned_away)
    if rates.empty:
        for axes in panels:
            say_empty(axes, "no span of time to draw")
        return figure
    panels[2].set_xlim(0, metrics.offered_and_finished(records)["finished_s"].max())
    _draw_rates(panels[0], rates)
    _draw_lag(panels[1], metrics.lag(records))
    _draw_waiting(panels[2], metrics.waiting_quantiles(records, bins))
    panels[2].set_xlabel("time since the first task was scheduled [s]")
    return figure


def _draw_rates(axes: Axes, rates: pd.DataFrame) -> None:
    labels = []
    # what is accepted is soon served: dashed and on top, both can be seen where they are one line
    for name, colour, looks in (("offered", GREY, ".-"), ("served", BLUE, ".-"), ("accepted", VERMILLION, "--")):
        if f"{name}_per_s" not in rates:
            continue
        line = rates[f"{name}_per_s"]
        axes.plot(line.index, line, looks, color=colour)
        labels.append(EndLabel(line.iloc[-1], name, colour))
    axes.set_ylabel("rate [tasks/s]")
    axes.set_ylim(bottom=0)
    label_ends(axes, labels)


def _draw_lag(axes: Axes, lag: pd.Series) -> None:
    axes.fill_between(lag.index, lag, step="post", color=VERMILLION, alpha=0.15, linewidth=0)
    axes.step(lag.index, lag, where="post", color=VERMILLION)
    axes.set_ylabel("lag [tasks]")
    axes.set_ylim(0, 1.35 * max(lag.max(), 1))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    peak = float(lag.index[int(lag.argmax())])
    early = peak < sum(axes.get_xlim()) / 2
    axes.annotate(
        f"at most {lag.max():,}",
        xy=(peak, lag.max()),
        xytext=(0, 3),
        textcoords="offset points",
        ha="left" if early else "right",
        color=VERMILLION,
        fontsize=LABEL_SIZE,
    )


def _draw_waiting(axes: Axes, waiting: pd.DataFrame) -> None:
    labels: list[EndLabel] = []
    for name, colour in (("p50", BLUE), ("p99", VERMILLION)):
        line = waiting[name].dropna()
        axes.plot(line.index, line, color=colour, marker=".")
        labels.extend(EndLabel(y, name, colour) for y in line.iloc[-1:])
    axes.set_ylabel("waiting time")
    axes.yaxis.set_major_formatter(in_seconds())
    axes.set_ylim(bottom=0)
    label_ends(axes, labels)


def _finding(records: pd.DataFrame, turned_away: pd.DataFrame | None) -> str:
    tasks = metrics.offered_and_finished(records)
    span = tasks["offered_s"].max()
    if tasks.empty:
        return "No task was done."
    after = duration(tasks["finished_s"].max() - span)
    finding = f"The lag rose to {metrics.lag(records).max():,} tasks; it was gone {after} after the last task was due."
    if turned_away is None:
        return finding
    number = int(turned_away["tasks"].sum())
    return f"{counted(number, 'task')} {'was' if number == 1 else 'were'} turned away. {finding}"
