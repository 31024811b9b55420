"""Predicted against measured: what the formula says, what the simulation says, what the broker did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.measure.plots.style import (
    BLUE,
    GREY,
    INK,
    LABEL_SIZE,
    PALE,
    VERMILLION,
    EndLabel,
    coloured_words,
    in_seconds,
    label_ends,
    new_figure,
    priority_colour,
    say_empty,
    styled,
)
from labkit.parameter_checks import Drawn
from labkit.parameters import BadValue, check_lengths

#: With more points than this, the x axis chooses its own ticks.
MOST_TICKS = 12


@styled
def three_lines(
    x: Sequence[Drawn],
    *,
    formula: Sequence[Drawn],
    simulation: Sequence[Drawn],
    broker: Sequence[Drawn],
    tolerance: float,
    xlabel: str,
    ylabel: str,
    title: str | None = None,
) -> Figure:
    """Formula, simulation and broker over a sweep `x`; the band is the formula ± `tolerance` (0.1 is 10 %).

    The three have one value per x, in the unit that `ylabel` names. Raises `BadValue` if their lengths differ.
    """
    check_lengths("three_lines", x=x, formula=formula, simulation=simulation, broker=broker)
    expected, simulated, measured = (np.asarray(line, dtype=float) for line in (formula, simulation, broker))
    figure = new_figure(title or _lines_finding(x, expected, measured, tolerance), height=4.0)
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if not len(x):
        say_empty(axes, "no point")
        return figure
    axes.fill_between(x, expected * (1 - tolerance), expected * (1 + tolerance), color=PALE, linewidth=0)
    axes.plot(x, expected, color=GREY)
    axes.plot(x, simulated, color=BLUE, linestyle=(0, (4, 2)), marker="o", markerfacecolor="white")
    axes.plot(x, measured, color=VERMILLION, marker="o")
    if min(expected.min(), simulated.min(), measured.min()) >= 0:
        axes.set_ylim(bottom=0)
    if len(x) <= MOST_TICKS:
        axes.set_xticks(list(x))
    label_ends(
        axes,
        [
            EndLabel(expected[-1], f"formula ± {tolerance * 100:.3g} %", GREY),
            EndLabel(simulated[-1], "simulation", BLUE),
            EndLabel(measured[-1], "broker", VERMILLION),
        ],
    )
    return figure


def _lines_finding(x: Sequence[float], expected: np.ndarray, measured: np.ndarray, tolerance: float) -> str:
    if not len(x):
        return "Nothing was measured."
    outside = np.abs(measured - expected) > tolerance * np.abs(expected)
    percent = f"{tolerance * 100:.3g} %"
    if not outside.any():
        return f"The broker stays within {percent} of the formula everywhere."
    return f"The broker leaves the formula by more than {percent} at {outside.sum()} of {len(x)} points."


@styled
def waiting_by_utilisation(
    formula: pd.DataFrame, *, simulation: pd.DataFrame, broker: pd.DataFrame, title: str | None = None
) -> Figure:
    """Mean waiting time per class over utilisation, on a logarithmic axis.

    Each table has utilisations as its index, a column per class in rank order, and seconds. Where the formula is
    infinite its line ends, and the first such place is marked. Raises `BadValue` if the classes differ.
    """
    if not list(formula) == list(simulation) == list(broker):
        raise BadValue(
            "'formula', 'simulation' and 'broker' of waiting_by_utilisation have other columns; give the same classes "
            "in the same order."
        )
    figure = new_figure(title or _starved_finding(formula), height=4.2)
    axes = figure.subplots()
    axes.set(xlabel="utilisation", ylabel="mean waiting time, log scale")
    if formula.empty:
        say_empty(axes, "no point")
        return figure
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(in_seconds())
    finite = formula.replace(np.inf, np.nan)
    ends = []
    for rank, name in enumerate(formula):
        colour = priority_colour(rank)
        line = finite[name].dropna()
        axes.plot(line.index, line, color=colour)
        axes.plot(simulation.index, simulation[name], "o", color=colour, markerfacecolor="white")
        axes.plot(broker.index, broker[name], "o", color=colour)
        ends += [EndLabel(float(y), str(name), colour) for y in line.iloc[-1:]]
    _mark_threshold(axes, formula)
    coloured_words(axes, [("line: formula", INK), ("○ simulation", INK), ("● broker", INK)])
    label_ends(axes, ends)
    return figure


def _mark_threshold(axes: Axes, formula: pd.DataFrame) -> None:
    starved = starved_from(formula)
    if starved is None:
        return
    name, at = starved
    axes.axvline(at, color=GREY, linewidth=1.2, linestyle=(0, (4, 3)), zorder=0)
    axes.annotate(
        f" {name} starves",
        xy=(at, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(2, -4),
        textcoords="offset points",
        ha="left",
        va="top",
        color=GREY,
        fontsize=LABEL_SIZE,
    )


def starved_from(formula: pd.DataFrame) -> tuple[str, float] | None:
    """The class whose waiting time is infinite first, and from which utilisation of the table on; None if none is."""
    infinite = formula.to_numpy(dtype=float) == np.inf
    if not infinite.any():
        return None
    row = int(infinite.any(axis=1).argmax())
    return str(formula.columns[int(infinite[row].argmax())]), float(formula.index.to_numpy(dtype=float)[row])


def _starved_finding(formula: pd.DataFrame) -> str:
    if formula.empty:
        return "Nothing was computed."
    starved = starved_from(formula)
    if starved is None:
        return "No class starves at these utilisations."
    return f"{starved[0]} starves from a utilisation of {starved[1]:.3g} on."
