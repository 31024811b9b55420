"""What the producer sent and the workers did, as a table like the output of a program in a terminal."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from labkit.measure import metrics
from labkit.measure.plots.style import (
    GREY,
    INK,
    PALE,
    VERMILLION,
    counted,
    duration,
    new_figure,
    partition_colour,
    styled,
    worker_colour,
)
from labkit.measure.task_record import DONE

#: So many lines are shown; a last one says how many more there are.
LINES = 12
#: A line's height in inches, and the size in points of its letters, which are all equally wide.
LINE_HEIGHT, LETTER_SIZE = 0.235, 9.5
#: So many letters fit side by side, and so many into one cell.
LETTERS_PER_LINE, LETTERS_PER_CELL = 106, 38
#: So many letters keep the columns apart.
GAP = 3


class Cell(NamedTuple):
    """A text and its colour."""

    text: str
    colour: str = INK


def draw_listing(title: str, heading: Sequence[str], rows: Sequence[Sequence[Cell]], last: str) -> Figure:
    """A figure with a heading, rows of cells in columns as wide as they need, and a last line in grey."""
    body = [[Cell(_shorten(cell.text), cell.colour) for cell in row] for row in rows]
    lines = [[Cell(name, GREY) for name in heading], *body, [Cell(last, GREY)]]
    figure = new_figure(title, height=0.75 + LINE_HEIGHT * (len(lines) + 1))
    axes = figure.subplots()
    axes.set(xlim=(-2, LETTERS_PER_LINE), ylim=(len(lines), -1), xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set(visible=True, color=PALE)
    axes.axhline(0.5, color=PALE, linewidth=1)
    starts = _starts(lines[:-1])
    for y, line in enumerate(lines):
        for x, cell in zip(starts, line, strict=False):
            axes.text(x, y, cell.text, color=cell.colour, family="monospace", fontsize=LETTER_SIZE, va="center")
    return figure


def more(number: int) -> str:
    """The last line of a listing from which so many lines were left out."""
    return f"… and {number:,} more" if number else "that is all"


def _starts(lines: Sequence[Sequence[Cell]]) -> list[int]:
    widths = [max(len(cell.text) for cell in column) + GAP for column in zip(*lines, strict=True)]
    return [sum(widths[:column]) for column in range(len(widths))]


def _shorten(text: str) -> str:
    return text if len(text) <= LETTERS_PER_CELL else text[: LETTERS_PER_CELL - 1] + "…"


SENT_HEADING = ("sent after", "task", "stored in", "at", "acknowledged after")


@styled
def producer_output(
    receipts: pd.DataFrame, *, texts: Mapping[str, str] | None = None, title: str | None = None
) -> Figure:
    """The producer's first receipts as a listing. `texts`: task id -> what the task says."""
    first = receipts.sort_values("produced_at", kind="stable").head(LINES)
    start = receipts["produced_at"].min()
    rows = [
        [
            Cell(f"{receipt['produced_at'] - start:.3f} s", GREY),
            Cell((texts or {}).get(receipt["task_id"], receipt["task_id"])),
            *_delivery(receipt),
        ]
        for receipt in first.to_dict("records")
    ]
    return draw_listing(title or _sent_finding(receipts), SENT_HEADING, rows, more(len(receipts) - len(first)))


def _delivery(receipt: dict[Hashable, Any]) -> list[Cell]:
    partition, offset, acknowledged_at = (receipt[name] for name in ("partition", "offset", "acknowledged_at"))
    if pd.isna(acknowledged_at):
        return [Cell("–", GREY), Cell("–", GREY), Cell(f"refused: {receipt['error']}", VERMILLION)]
    return [
        Cell(f"partition {partition}", partition_colour(partition)),
        Cell(f"offset {offset}"),
        Cell(duration(acknowledged_at - receipt["produced_at"])),
    ]


def _sent_finding(receipts: pd.DataFrame) -> str:
    if receipts.empty:
        return "No task was sent."
    delay = (receipts["acknowledged_at"] - receipts["produced_at"]).dropna()
    sent = f"The broker acknowledged {len(delay):,} of {counted(len(receipts), 'task')}"
    return f"{sent}, half of them within {duration(delay.median())}." if len(delay) else f"{sent}."


DONE_HEADING = ("done after", "worker", "read from", "at", "task", "took")


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
    return draw_listing(title or _done_finding(records), DONE_HEADING, rows, more(len(records) - len(first)))


def _result(attempt: dict[Hashable, Any]) -> Cell:
    if attempt["outcome"] != DONE:
        return Cell(f"{attempt['outcome']}: {attempt['error']}", VERMILLION)
    return Cell(duration(attempt["finished_at"] - attempt["started_at"]))


def _done_finding(records: pd.DataFrame) -> str:
    if records.empty:
        return "No task was begun."
    done = metrics.tasks_per_worker(records)
    lost = len(records) - int(done.sum())
    failed = f"; {counted(lost, 'attempt')} failed" if lost else ""
    return f"{counted(len(done), 'worker')} did {counted(int(done.sum()), 'task')}{failed}."
