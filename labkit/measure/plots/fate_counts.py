"""What became of the tasks of each class: done, dead, shed, or missing."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from labkit.measure.fates import MISSING
from labkit.measure.plots.style import (
    BLUE,
    GREY,
    INK,
    PALE,
    VERMILLION,
    coloured_words,
    counted,
    ink_on,
    new_figure,
    say_empty,
    styled,
)
from labkit.measure.records import DEAD, DONE, SHED

#: Missing tasks are what to look at.
COLOURS = {DONE: BLUE, DEAD: GREY, SHED: PALE, MISSING: VERMILLION}
#: Words for what is told apart by a pale colour must be darker than it.
_WORD_COLOURS = COLOURS | {SHED: "#a8a8a8", DEAD: "#6b6b6b"}
#: A part narrower than this share of the longest bar has no room for its number.
_NARROW = 0.03


@styled
def fate_counts(fates: pd.DataFrame, *, title: str | None = None) -> Figure:
    """A bar per class, as long as what was produced, in parts by what became of it (see `labkit.measure.fates`)."""
    figure = new_figure(title or _finding(fates), height=1.5 + 0.5 * max(len(fates), 2))
    axes = figure.subplots()
    produced = fates.sum(axis="columns")
    if not produced.any():
        say_empty(axes, "no task")
        return figure
    left = pd.Series(0, index=fates.index)
    for fate, counts in fates.items():
        colour = COLOURS[str(fate)]
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
    coloured_words(axes, [(f"{fate} {totals[fate]:,}", _WORD_COLOURS[fate]) for fate in COLOURS])
    return figure


def _finding(fates: pd.DataFrame) -> str:
    produced = int(fates.to_numpy().sum())
    if not produced:
        return "No task was produced."
    missing = int(fates[MISSING].sum())
    rest = ", ".join(f"{int(fates[fate].sum()):,} {fate}" for fate in (DONE, DEAD, SHED))
    return f"{counted(produced, 'task')}: {rest}, and {'none is' if not missing else f'{missing:,} are'} missing."
