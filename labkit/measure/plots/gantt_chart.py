"""Bars over time: who worked on what, and where tasks were meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from labkit.measure import metrics
from labkit.measure.plots.style import (
    BLUE,
    GREY,
    INK,
    LABEL_SIZE,
    VERMILLION,
    coloured_words,
    counted,
    duration,
    in_seconds,
    new_figure,
    partition_colour,
    priority_colour,
    say_empty,
    styled,
)
from labkit.measure.task_record import DONE
from labkit.parameter_checks import Moment

#: With fewer bars in each row than this, a white edge keeps neighbours apart; with more it would hide them.
FEW = 150
#: About how wide a character of an event's label is, as a part of the axes' width.
CHARACTER = 0.0095
#: How high a line of labels is, in rows of the chart.
LINE = 0.55


By = Literal["partition", "priority"]

_COLOURS = {"partition": partition_colour, "priority": priority_colour}


class _Event(NamedTuple):
    label: str
    time: float
    align: str
    line: int


@styled
def gantt(
    records: pd.DataFrame,
    *,
    by: By = "partition",
    workers: Iterable[str] = (),
    events: Mapping[str, Moment] | None = None,
    title: str | None = None,
) -> Figure:
    """Gantt chart: a row per worker, a bar per attempt, coloured by partition or priority; failed ones are hatched.

    `events`: label -> time in seconds since the epoch, drawn as vertical lines. Name `workers` to see those
    that did nothing.
    """
    names = metrics.by_number([*records["worker"], *workers])
    start, end = records["scheduled_at"].min(), records["finished_at"].max()
    marks = _events(events or {}, start, end) if len(records) else []
    lines = max((mark.line + 1 for mark in marks), default=0)
    rows = max(len(names), 2) + LINE * lines
    figure = new_figure(title or _gantt_finding(records, names), height=1.6 + 0.45 * rows)
    axes = figure.subplots()
    if records.empty:
        say_empty(axes, "no attempt")
        return figure
    _draw_attempts(axes, records, by, names, start)
    axes.set_xlim(min([0.0, *(mark.time for mark in marks)]), max([end - start, *(mark.time for mark in marks)]) or 1)
    axes.set_ylim(len(names) - 0.5, -0.5 - LINE * lines)
    axes.set_xlabel("time since the first task was scheduled [s]")
    axes.grid(visible=False)
    _draw_events(axes, marks)
    coloured_words(axes, [(f"{by} {number}", _COLOURS[by](number)) for number in sorted(set(records[by]))])
    return figure


def _draw_attempts(axes: Axes, records: pd.DataFrame, by: By, names: list[str], start: float) -> None:
    axes.set_yticks(range(len(names)), names)
    edge = 0.6 if records.groupby("worker").size().max() < FEW else 0.0
    kinds: Any = records.groupby(["worker", by, "outcome"])
    for (worker, number, outcome), own in kinds:
        axes.broken_barh(
            list(zip(own["started_at"] - start, own["finished_at"] - own["started_at"], strict=True)),
            (names.index(worker) - 0.35, 0.7),
            facecolors=_COLOURS[by](number),
            edgecolor="white",
            linewidth=edge,
            hatch=None if outcome == DONE else "////",
        )
    for row, name in enumerate(names):
        if name not in set(records["worker"]):
            axes.annotate("idle", (0, row), (6, 0), textcoords="offset points", va="center", color=GREY)


def _events(events: Mapping[str, float], start: float, end: float) -> list[_Event]:
    """The events in order of time, each on the lowest line of labels where it overlaps no other."""
    width = max([end, *events.values()]) - min([start, *events.values()]) or 1.0
    placed: list[tuple[_Event, float, float]] = []
    for label, moment in sorted(events.items(), key=lambda event: event[1]):
        at = (moment - min([start, *events.values()])) / width
        size = CHARACTER * (len(label) + 2)
        align, left = ("left", at) if at + size < 1 else ("right", at - size)
        taken = {event.line for event, other, right in placed if left < right and other < left + size}
        line = next(number for number in range(len(placed) + 1) if number not in taken)
        placed.append((_Event(label, moment - start, align, line), left, left + size))
    return [event for event, _, _ in placed]


def _draw_events(axes: Axes, events: list[_Event]) -> None:
    for event in events:
        axes.axvline(event.time, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
        axes.annotate(
            event.label,
            xy=(event.time, -0.5 - LINE * (event.line + 0.5)),
            xytext=(4 if event.align == "left" else -4, 0),
            textcoords="offset points",
            ha=event.align,
            va="center",
            color=INK,
            fontsize=LABEL_SIZE,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},  # the line of another event ends behind it
        )


def _gantt_finding(records: pd.DataFrame, names: list[str]) -> str:
    if records.empty:
        return "No task was begun."
    done = f"{counted(len(names), 'worker')} did {counted(len(metrics.successful(records)), 'task')}"
    idle = [name for name in names if name not in set(records["worker"])]
    span = duration(records["finished_at"].max() - records["scheduled_at"].min())
    return f"{done} in {span}" + (f"; {', '.join(idle)} idled." if idle else ".")


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
    figure = new_figure(title or _journeys_finding(done), height=1.6 + 0.2 * max(rows, 4))
    panels = figure.subplots(1, max(len(done), 1), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (name, own) in zip(panels, done.items(), strict=False):
        _draw_journeys(axes, own)
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


def _draw_journeys(axes: Axes, done: pd.DataFrame) -> None:
    places = range(1, len(done) + 1)
    for _, begin, end, colour in PARTS:
        since = done[begin] - done["scheduled_at"]
        axes.barh(places, done[end] - done[begin], left=since, height=0.7, color=colour)
    axes.grid(visible=False, axis="y")


def _journeys_finding(done: Mapping[str, pd.DataFrame]) -> str:
    every = pd.concat(done.values()) if done else pd.DataFrame()
    if every.empty:
        return "No task was done."
    medians = {name: duration((every[end] - every[begin]).median()) for name, begin, end, _ in PARTS}
    parts = ", ".join(f"{median} {name}" for name, median in medians.items())
    return f"{counted(len(every), 'task')}; the medians: {parts}."
