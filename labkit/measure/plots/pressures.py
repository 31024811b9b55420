"""Back-pressure compared: the panels of `timeline`, a column per strategy, all on the same scales."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from labkit.measure import metrics
from labkit.measure.plots.style import (
    BLUE,
    GREY,
    PALE,
    VERMILLION,
    coloured_words,
    counted,
    in_seconds,
    new_figure,
    say_empty,
    styled,
)

#: Into how many bins a run is cut: a column is narrower than a figure.
BINS = 20


class _Run(NamedTuple):
    records: pd.DataFrame
    turned_away: pd.DataFrame


@styled
def pressures(
    runs: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]],
    *,
    overload: tuple[float, float],
    recovery: Mapping[str, float],
    title: str | None = None,
) -> Figure:
    """Per run a column of three panels: rates, where the tasks are that are not finished, and how long they waited.

    `runs` holds for each name the records and what was turned away. The time of the `overload`, in seconds since the
    start, has a grey background. `recovery` is how many seconds after it each run had recovered, inf if it never did.
    A task is in front of the door from when it was scheduled until it was produced, and behind it until it was
    finished.
    """
    given = {name: _Run(*run) for name, run in runs.items()}
    figure = new_figure(title or _finding(recovery), height=6.0)
    columns = max(len(given), 1)
    figure.set_layout_engine("constrained", h_pad=0.09)  # there are words above the panels
    panels = figure.subplots(3, columns, sharex=True, sharey="row", squeeze=False)
    for column, (name, run) in zip(panels.T, given.items(), strict=False):
        column[0].set_title(_heading(name, run, recovery[name]), pad=20)
        _draw(column, run, overload)
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
    coloured_words(places, [("in front of the door", GREY), ("behind it", VERMILLION)])
    coloured_words(waiting, [("p50", BLUE), ("p99", VERMILLION)])
    # they may reach above the next column, which stays as wide as the first
    for words in (words for axes in panels[:, 0] for words in axes.artists):
        words.set_in_layout(False)


def _draw(panels: np.ndarray, run: _Run, overload: tuple[float, float]) -> None:
    for axes in panels:
        axes.axvspan(*overload, color=PALE, alpha=0.6, linewidth=0)
    rates = metrics.rates(run.records, BINS, run.turned_away)
    if rates.empty:
        return
    panels[0].plot(rates.index, rates["offered_per_s"], color=GREY)
    panels[0].plot(rates.index, rates["served_per_s"], color=BLUE)
    _draw_places(panels[1], run.records)
    waiting = metrics.waiting_quantiles(run.records, BINS)
    for name, colour in (("p50", BLUE), ("p99", VERMILLION)):
        panels[2].plot(waiting.index, waiting[name], color=colour)


def _draw_places(axes: Axes, records: pd.DataFrame) -> None:
    done = metrics.successful(records)
    since = done[["scheduled_at", "produced_at", "finished_at"]] - records["scheduled_at"].min()
    moments = np.linspace(0.0, since["finished_at"].max(), 400)
    came, sent, left = (np.searchsorted(np.sort(since[name]), moments, side="right") for name in since)
    axes.stackplot(moments, sent - left, came - sent, colors=[VERMILLION, GREY], alpha=0.7, linewidth=0)


def _heading(name: str, run: _Run, recovery: float) -> str:
    number = int(run.turned_away["tasks"].sum())
    recovered = f"recovered after {recovery:.1f} s" if np.isfinite(recovery) else "not recovered"
    return f"{name}\n{recovered}\n{counted(number, 'task')} turned away"


def _finding(recovery: Mapping[str, float]) -> str:
    if not recovery:
        return "Nothing was run."
    first, last = min(recovery, key=recovery.__getitem__), max(recovery, key=recovery.__getitem__)
    if recovery[first] == recovery[last]:
        return "No run recovers sooner than another."
    return f"With {first} the run recovers first, with {last} last."
