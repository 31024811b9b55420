"""How long each class waits as utilisation rises: what the formula says, what the simulation says, what happened."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.measure.plots.style import (
    GREY,
    INK,
    LABEL_SIZE,
    EndLabel,
    coloured_words,
    in_seconds,
    label_ends,
    new_figure,
    priority_colour,
    say_empty,
    styled,
)


@styled
def waiting_by_utilisation(
    formula: pd.DataFrame, *, simulation: pd.DataFrame, broker: pd.DataFrame, title: str | None = None
) -> Figure:
    """Mean waiting time per class over utilisation, on a logarithmic axis.

    Each table has utilisations as its index, a column per class in rank order, and seconds. Where the formula is
    infinite its line ends, and the first such place is marked. Raises ValueError if the classes differ.
    """
    if not list(formula) == list(simulation) == list(broker):
        raise ValueError("formula, simulation and broker need the same classes in the same order")
    figure = new_figure(title or _finding(formula), height=4.2)
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


def _finding(formula: pd.DataFrame) -> str:
    if formula.empty:
        return "Nothing was computed."
    starved = starved_from(formula)
    if starved is None:
        return "No class starves at these utilisations."
    return f"{starved[0]} starves from a utilisation of {starved[1]:.3g} on."
