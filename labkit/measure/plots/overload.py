"""Overload: what is offered, what is served, the queue between them, and what of the work somebody still waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from labkit.measure import metrics
from labkit.measure.plots.style import (
    BLUE,
    GREY,
    LABEL_SIZE,
    PALE,
    VERMILLION,
    EndLabel,
    coloured_words,
    counted,
    duration,
    in_seconds,
    label_ends,
    new_figure,
    say_empty,
    styled,
)
from labkit.parameter_checks import Drawn, Moment

#: A bin of time should hold about so many tasks.
TASKS_PER_BIN = 8


@styled
def timeline(records: pd.DataFrame, *, turned_away: pd.DataFrame | None = None, title: str | None = None) -> Figure:
    """Three panels on one time axis: offered and served rate, lag, and waiting time (p50 and p99).

    Given what was refused, shed or spilled (see `labkit.measure.records`), the first one also shows the rate of
    what was accepted.
    """
    figure = new_figure(title or _timeline_finding(records, turned_away), height=5.6)
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


def _timeline_finding(records: pd.DataFrame, turned_away: pd.DataFrame | None) -> str:
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


#: Into how many bins a run is cut: a column is narrower than a figure.
COLUMN_BINS = 20


class _DrawnRun(NamedTuple):
    records: pd.DataFrame
    turned_away: pd.DataFrame


@styled
def pressures(
    runs: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]],
    *,
    overload: tuple[float, float],
    recovery: Mapping[str, Drawn],
    title: str | None = None,
) -> Figure:
    """Per run a column of three panels: rates, where the tasks are that are not finished, and how long they waited.

    `runs` holds for each name the records and what was turned away. The time of the `overload`, in seconds since the
    start, has a grey background. `recovery` is how many seconds after it each run had recovered, inf if it never did.
    A task is before admission from when it was scheduled until it was produced, and behind it until it was
    finished.
    """
    given = {name: _DrawnRun(*run) for name, run in runs.items()}
    figure = new_figure(title or _pressures_finding(recovery), height=6.0)
    columns = max(len(given), 1)
    figure.set_layout_engine("constrained", h_pad=0.09)  # there are words above the panels
    panels = figure.subplots(3, columns, sharex=True, sharey="row", squeeze=False)
    for column, (name, run) in zip(panels.T, given.items(), strict=False):
        column[0].set_title(_heading(name, run, recovery[name]), pad=20)
        _draw_column(column, run, overload)
    if not any(len(run.records) for run in given.values()):
        say_empty(panels[0, 0], "no task was done")
        return figure
    _name_axes(panels)
    return figure


def _name_axes(panels: np.ndarray) -> None:
    rates, places, waiting = panels[:, 0]
    rates.set_ylabel("rate [tasks/s]")
    places.set_ylabel("not finished [tasks]")
    waiting.set_ylabel("waiting time")
    waiting.yaxis.set_major_formatter(in_seconds())
    for axes in panels[:, 0]:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(integer=axes is not waiting, nbins=4))
    rates.set_xlim(left=0)
    for axes in panels[-1]:
        axes.set_xlabel("time [s]")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    coloured_words(rates, [("offered", GREY), ("served", BLUE)])
    coloured_words(places, [("before admission", GREY), ("behind it", VERMILLION)])
    coloured_words(waiting, [("p50", BLUE), ("p99", VERMILLION)])
    # they may reach above the next column, which stays as wide as the first
    for words in (words for axes in panels[:, 0] for words in axes.artists):
        words.set_in_layout(False)


def _draw_column(panels: np.ndarray, run: _DrawnRun, overload: tuple[float, float]) -> None:
    for axes in panels:
        axes.axvspan(*overload, color=PALE, alpha=0.6, linewidth=0)
    rates = metrics.rates(run.records, COLUMN_BINS, run.turned_away)
    if rates.empty:
        return
    panels[0].plot(rates.index, rates["offered_per_s"], color=GREY)
    panels[0].plot(rates.index, rates["served_per_s"], color=BLUE)
    _draw_places(panels[1], run.records)
    waiting = metrics.waiting_quantiles(run.records, COLUMN_BINS)
    for name, colour in (("p50", BLUE), ("p99", VERMILLION)):
        panels[2].plot(waiting.index, waiting[name], color=colour)


def _draw_places(axes: Axes, records: pd.DataFrame) -> None:
    done = metrics.successful(records)
    since = done[["scheduled_at", "produced_at", "finished_at"]] - records["scheduled_at"].min()
    moments = np.linspace(0.0, since["finished_at"].max(), 400)
    came, sent, left = (np.searchsorted(np.sort(since[name]), moments, side="right") for name in since)
    axes.stackplot(moments, sent - left, came - sent, colors=[VERMILLION, GREY], alpha=0.7, linewidth=0)


def _heading(name: str, run: _DrawnRun, recovery: float) -> str:
    number = int(run.turned_away["tasks"].sum())
    recovered = f"recovered after {recovery:.1f} s" if np.isfinite(recovery) else "not recovered"
    return f"{name}\n{recovered}\n{counted(number, 'task')} turned away"


def _pressures_finding(recovery: Mapping[str, float]) -> str:
    if not recovery:
        return "Nothing was run."
    first, last = min(recovery, key=recovery.__getitem__), max(recovery, key=recovery.__getitem__)
    if recovery[first] == recovery[last]:
        return "No run recovers sooner than another."
    return f"With {first} the run recovers first, with {last} last."


#: How wide a bin of time is, in seconds.
BIN_WIDTH = 0.5


@styled
def goodput(
    records_by_name: Mapping[str, pd.DataFrame],
    *,
    scheduled_at: Sequence[Moment] | npt.NDArray[np.float64],
    patience: float,
    title: str | None = None,
) -> Figure:
    """A panel per name: tasks that came, attempts that were performed, and tasks done in time, each per second.

    `scheduled_at` holds when each task came, in seconds on the clock of the records. A task is done in time when its
    first success is at most `patience` seconds after that.
    """
    moments = np.sort(np.asarray(scheduled_at, dtype="float64"))
    figure = new_figure(title or _goodput_finding(records_by_name, patience), height=3.2)
    panels = figure.subplots(1, max(len(records_by_name), 1), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (name, records) in zip(panels, records_by_name.items(), strict=False):
        axes.set_title(name, pad=20)
        axes.set_xlabel("time [s]")
        lines = ((moments, GREY), (_finished(records), VERMILLION), (_in_time(records, patience), BLUE))
        for times, colour in lines:
            per_second = _per_second(times - moments[0]) if len(moments) else pd.Series(dtype="float64")
            axes.plot(per_second.index, per_second, color=colour)
    if not len(moments):
        say_empty(panels[0], "no task came")
        return figure
    panels[0].set_ylabel("rate [1/s]")
    panels[0].set_ylim(bottom=0)
    panels[0].set_xlim(0, moments[-1] - moments[0] + BIN_WIDTH)
    coloured_words(panels[0], [("tasks that came", GREY), ("work done", VERMILLION), ("done in time", BLUE)])
    for words in panels[0].artists:
        words.set_in_layout(False)  # they may reach above the next panel, which stays as wide as the first
    return figure


def _finished(records: pd.DataFrame) -> npt.NDArray[np.float64]:
    return metrics.successful(records)["finished_at"].to_numpy()


def _in_time(records: pd.DataFrame, patience: float) -> npt.NDArray[np.float64]:
    """When each task was first done, of those done in time."""
    first = metrics.successful(records).sort_values("finished_at").drop_duplicates("task_id")
    return first["finished_at"][first["finished_at"] - first["scheduled_at"] <= patience].to_numpy()


def _per_second(times: npt.NDArray[np.float64]) -> pd.Series:
    edges = np.arange(0.0, max(times.max(initial=0.0), BIN_WIDTH) + BIN_WIDTH, BIN_WIDTH)
    return pd.Series(np.histogram(times, edges)[0] / BIN_WIDTH, index=edges[:-1] + BIN_WIDTH / 2)


def _goodput_finding(records_by_name: Mapping[str, pd.DataFrame], patience: float) -> str:
    shares = {
        name: len(_in_time(records, patience)) / len(_finished(records))
        for name, records in records_by_name.items()
        if len(_finished(records))
    }
    if not shares:
        return "No task was done."
    worst = min(shares, key=shares.__getitem__)
    return f"With {worst}, {100 * shares[worst]:.0f} % of the work is for a task that is done in time."
