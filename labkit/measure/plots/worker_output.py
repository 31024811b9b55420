"""What the workers did: who, which task, from where, and how long it took."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from labkit.measure import metrics
from labkit.measure.plots.listing import LINES, Cell, draw_listing, more
from labkit.measure.plots.style import GREY, VERMILLION, counted, duration, partition_colour, styled, worker_colour
from labkit.measure.records import DONE

HEADING = ("done after", "worker", "read from", "at", "task", "took")


@styled
def worker_output(records: pd.DataFrame, *, texts: Mapping[str, str] | None = None, title: str | None = None) -> Figure:
    """The first attempts of all workers, as they finished, as a listing. `texts`: task id -> what the task says."""
    first = records.sort_values("finished_at", kind="stable").head(LINES)
    start = records["scheduled_at"].min()
    rows = [
        [
            Cell(f"{attempt['finished_at'] - start:.3f} s", GREY),
            Cell(attempt["worker"], worker_colour(attempt["worker"])),
            Cell(f"partition {attempt['partition']}", partition_colour(attempt["partition"])),
            Cell(f"offset {attempt['offset']}"),
            Cell((texts or {}).get(attempt["task_id"], attempt["task_id"])),
            _result(attempt),
        ]
        for attempt in first.to_dict("records")
    ]
    return draw_listing(title or _finding(records), HEADING, rows, more(len(records) - len(first)))


def _result(attempt: dict[Hashable, Any]) -> Cell:
    if attempt["outcome"] != DONE:
        return Cell(f"{attempt['outcome']}: {attempt['error']}", VERMILLION)
    return Cell(duration(attempt["finished_at"] - attempt["started_at"]))


def _finding(records: pd.DataFrame) -> str:
    if records.empty:
        return "No task was begun."
    done = metrics.tasks_per_worker(records)
    lost = len(records) - int(done.sum())
    failed = f"; {counted(lost, 'attempt')} failed" if lost else ""
    return f"{counted(len(done), 'worker')} did {counted(int(done.sum()), 'task')}{failed}."
