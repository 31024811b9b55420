"""Where tasks were, and for how long: on Kafka, waiting in Celery, being performed."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from labkit.measure import metrics
from labkit.measure.plots.style import (
    BLUE,
    GREY,
    VERMILLION,
    coloured_words,
    counted,
    duration,
    in_seconds,
    new_figure,
    say_empty,
    styled,
)

#: The parts of a journey: name, the moments between which it lies, colour.
PARTS = (
    ("on Kafka", "scheduled_at", "received_at", GREY),
    ("waiting in Celery", "received_at", "started_at", VERMILLION),
    ("performed", "started_at", "finished_at", BLUE),
)


@styled
def journeys(records_by_name: Mapping[str, pd.DataFrame], *, title: str | None = None) -> Figure:
    """A panel per name with a row per task that was done, from the moment it was scheduled, on the same time scale.

    For records of Celery's workers, in which a task was received when it was handed to Celery's broker.
    """
    done = {
        name: metrics.successful(records).sort_values("scheduled_at", kind="stable")
        for name, records in records_by_name.items()
    }
    rows = max((len(own) for own in done.values()), default=0)
    figure = new_figure(title or _finding(done), height=1.6 + 0.2 * max(rows, 4))
    panels = figure.subplots(1, max(len(done), 1), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (name, own) in zip(panels, done.items(), strict=False):
        _draw(axes, own)
        axes.set_title(name, pad=20)
        axes.set_xlabel("time since it was scheduled")
    if not rows:
        say_empty(panels[0], "no task was done")
        return figure
    panels[0].set(yticks=[], ylim=(rows + 0.5, 0.5), ylabel="tasks, by their arrival")
    panels[0].set_xlim(left=0)
    panels[0].xaxis.set_major_locator(MaxNLocator(4 if len(done) > 1 else 8))
    panels[0].xaxis.set_major_formatter(in_seconds())
    coloured_words(panels[0], [(part, colour) for part, _, _, colour in PARTS])
    return figure


def _draw(axes: Axes, done: pd.DataFrame) -> None:
    places = range(1, len(done) + 1)
    for _, begin, end, colour in PARTS:
        since = done[begin] - done["scheduled_at"]
        axes.barh(places, done[end] - done[begin], left=since, height=0.7, color=colour)
    axes.grid(visible=False, axis="y")


def _finding(done: Mapping[str, pd.DataFrame]) -> str:
    every = pd.concat(done.values()) if done else pd.DataFrame()
    if every.empty:
        return "No task was done."
    medians = {name: duration((every[end] - every[begin]).median()) for name, begin, end, _ in PARTS}
    parts = ", ".join(f"{median} {name}" for name, median in medians.items())
    return f"{counted(len(every), 'task')}; the medians: {parts}."
