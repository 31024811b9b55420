"""What became of the tasks: done, dead, shed or missing, and how often each was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from labkit.measure.fates import MISSING
from labkit.measure.plots.style import (
    BLUE,
    GREY,
    INK,
    LABEL_SIZE,
    PALE,
    VERMILLION,
    coloured_words,
    counted,
    ink_on,
    new_figure,
    say_empty,
    styled,
)
from labkit.measure.task_record import DEAD, DONE, SHED

#: Missing tasks are what to look at.
FATE_COLOURS = {DONE: BLUE, DEAD: GREY, SHED: PALE, MISSING: VERMILLION}
#: Words for what is told apart by a pale colour must be darker than it.
_WORD_COLOURS = FATE_COLOURS | {SHED: "#a8a8a8", DEAD: "#6b6b6b"}
#: A part narrower than this share of the longest bar has no room for its number.
_NARROW = 0.03


@styled
def fate_counts(fates: pd.DataFrame, *, title: str | None = None) -> Figure:
    """A bar per class, as long as what was produced, in parts by what became of it (see `labkit.measure.fates`)."""
    figure = new_figure(title or _fates_finding(fates), height=1.5 + 0.5 * max(len(fates), 2))
    axes = figure.subplots()
    produced = fates.sum(axis="columns")
    if not produced.any():
        say_empty(axes, "no task")
        return figure
    left = pd.Series(0, index=fates.index)
    for fate, counts in fates.items():
        colour = FATE_COLOURS[str(fate)]
        bars = axes.barh(fates.index, counts, left=left, height=0.62, color=colour, edgecolor="white", linewidth=0.8)
        labels = [f"{count:,}" if count > _NARROW * produced.max() else "" for count in counts]
        axes.bar_label(bars, labels=labels, label_type="center", color=ink_on(colour))
        left += counts
    axes.bar_label(bars, labels=[f"{number:,} produced" for number in produced], padding=5, color=INK)
    axes.set(xlabel="tasks", xlim=(0, 1.17 * produced.max()))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.invert_yaxis()
    axes.grid(visible=False)
    totals = fates.sum()
    coloured_words(axes, [(f"{fate} {totals[fate]:,}", _WORD_COLOURS[fate]) for fate in FATE_COLOURS])
    return figure


def _fates_finding(fates: pd.DataFrame) -> str:
    produced = int(fates.to_numpy().sum())
    if not produced:
        return "No task was produced."
    missing = int(fates[MISSING].sum())
    rest = ", ".join(f"{int(fates[fate].sum()):,} {fate}" for fate in (DONE, DEAD, SHED))
    return f"{counted(produced, 'task')}: {rest}, and {'none is' if not missing else f'{missing:,} are'} missing."


#: The colours of tasks that were never done, done once, and done again.
TIMES_DONE_COLOURS = (VERMILLION, PALE, BLUE)
#: With more cells in a row than this there is no room for numbers in them.
MOST_NUMBERS = 60


@styled
def times_done(counts_by_name: Mapping[str, Sequence[int]], *, title: str | None = None) -> Figure:
    """A row of cells per run: how often each task was done, in the order of the offsets.

    Tasks done once are pale; the others are coloured, with their number of times.
    """
    rows = {name: list(counts) for name, counts in counts_by_name.items()}
    figure = new_figure(title or _times_done_finding(rows), height=1.5 + 0.45 * max(len(rows), 2))
    axes = figure.subplots()
    longest = max((len(counts) for counts in rows.values()), default=0)
    if not longest:
        say_empty(axes, "no task")
        return figure
    _draw_cells(axes, rows, longest)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("offset of the task")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    for row, counts in enumerate(rows.values()):
        text, colour = _outcome(counts)
        axes.annotate(
            text,
            xy=(1.0, row),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=LABEL_SIZE,
        )
    coloured_words(axes, [("lost", VERMILLION), ("done once", GREY), ("done again", BLUE)])
    return figure


def _draw_cells(axes: Axes, rows: Mapping[str, Sequence[int]], longest: int) -> None:
    cells = np.full((len(rows), longest), np.nan)
    for row, counts in enumerate(rows.values()):
        cells[row, : len(counts)] = np.minimum(counts, 2)
    numbered = longest <= MOST_NUMBERS
    axes.pcolormesh(
        np.arange(longest + 1) - 0.5,
        np.arange(len(rows) + 1) - 0.5,
        cells,
        cmap=ListedColormap(TIMES_DONE_COLOURS),
        vmin=0,
        vmax=2,
        edgecolors="white",
        linewidth=1.5 if numbered else 0.0,
    )
    # rows are bands with a gap between them
    for border in np.arange(len(rows) + 1) - 0.5:
        axes.axhline(border, color="white", linewidth=8)
    if numbered:
        for row, counts in enumerate(rows.values()):
            _draw_numbers(axes, row, counts)


def _draw_numbers(axes: Axes, row: int, counts: Sequence[int]) -> None:
    for offset, times in enumerate(counts):
        if times != 1:
            colour = ink_on(TIMES_DONE_COLOURS[min(times, 2)])
            axes.text(offset, row, f"{times}", ha="center", va="center", color=colour, fontsize=LABEL_SIZE)


def _outcome(counts: Sequence[int]) -> tuple[str, str]:
    """What to say of one run, and its colour."""
    lost, again = _lost_and_again(counts)
    said = [f"{number:,} {word}" for number, word in ((lost, "lost"), (again, "done again")) if number]
    return ", ".join(said) or "each once", VERMILLION if lost else BLUE if again else INK


def _lost_and_again(counts: Sequence[int]) -> tuple[int, int]:
    return sum(times == 0 for times in counts), sum(times > 1 for times in counts)


def _times_done_finding(rows: Mapping[str, Sequence[int]]) -> str:
    every = [times for counts in rows.values() for times in counts]
    if not every:
        return "There was no task."
    lost, again = _lost_and_again(every)
    return f"{counted(len(every), 'task')}: {lost:,} lost, {again:,} done again."
