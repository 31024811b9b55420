"""The picture of a run, by the plots of `labkit.measure`: a row per worker, a bar per task in hand."""

from __future__ import annotations

from collections import Counter

import pandas as pd
from matplotlib.figure import Figure

from labkit.grading.run_timeline import RunTimeline
from labkit.measure import plots
from labkit.measure.plots.style import counted
from labkit.measure.task_record import DONE, FAILED


def draw_timeline(timeline: RunTimeline, *, title: str) -> Figure:
    """Bars by worker and time, coloured by partition; what was begun and never done is hatched, up to the end."""
    rows = [
        {
            "worker": span.who,
            "partition": span.partition,
            "scheduled_at": 0.0,
            "started_at": span.began,
            "finished_at": _end_of(span.began, timeline) if span.done is None else span.done,
            "outcome": FAILED if span.done is None else DONE,
        }
        for span in timeline.spans
    ]
    events = {mark.label: mark.at for mark in timeline.marks}
    return plots.gantt(
        pd.DataFrame(rows), workers=timeline.workers, events=events, title=f"{title}: {_finding(timeline)}"
    )


def _finding(timeline: RunTimeline) -> str:
    done = Counter(span.who for span in timeline.spans if span.done is not None)
    said = ", ".join(f"{name} did {counted(done[name], 'task')}" for name in timeline.workers)
    left = sum(span.done is None for span in timeline.spans)
    return f"{said}; {left} begun and not done (hatched)." if left else f"{said}."


def _end_of(began: float, timeline: RunTimeline) -> float:
    """When a task that was never done was left: at the next thing that was done to the workers, or at the end."""
    return min([mark.at for mark in timeline.marks if mark.at > began], default=timeline.end)
