"""Predicted against measured: what the formula says, what the simulation says, what the broker did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from labkit.measure.plots.style import (
    BLUE,
    GREY,
    PALE,
    VERMILLION,
    EndLabel,
    label_ends,
    new_figure,
    say_empty,
    styled,
)

#: With more points than this, the x axis chooses its own ticks.
MOST_TICKS = 12


@styled
def three_lines(
    x: Sequence[float],
    *,
    formula: Sequence[float],
    simulation: Sequence[float],
    broker: Sequence[float],
    tolerance: float,
    xlabel: str,
    ylabel: str,
    title: str | None = None,
) -> Figure:
    """Formula, simulation and broker over a sweep `x`; the band is the formula ± `tolerance` (0.1 is 10 %).

    The three have one value per x, in the unit that `ylabel` names. Raises ValueError if their lengths differ.
    """
    if not len(x) == len(formula) == len(simulation) == len(broker):
        raise ValueError("x, formula, simulation and broker need the same number of values")
    expected, simulated, measured = (np.asarray(line, dtype=float) for line in (formula, simulation, broker))
    figure = new_figure(title or _finding(x, expected, measured, tolerance), height=4.0)
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


def _finding(x: Sequence[float], expected: np.ndarray, measured: np.ndarray, tolerance: float) -> str:
    if not len(x):
        return "Nothing was measured."
    outside = np.abs(measured - expected) > tolerance * np.abs(expected)
    percent = f"{tolerance * 100:.3g} %"
    if not outside.any():
        return f"The broker stays within {percent} of the formula everywhere."
    return f"The broker leaves the formula by more than {percent} at {outside.sum()} of {len(x)} points."
