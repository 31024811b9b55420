"""What the producer sent: to which partition and offset, and when the broker had it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from labkit.measure.plots.listing import LINES, Cell, draw_listing, more
from labkit.measure.plots.style import GREY, VERMILLION, counted, duration, partition_colour, styled

HEADING = ("sent after", "task", "stored in", "at", "acknowledged after")


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
    return draw_listing(title or _finding(receipts), HEADING, rows, more(len(receipts) - len(first)))


def _delivery(receipt: dict[Hashable, Any]) -> list[Cell]:
    partition, offset, acknowledged_at = (receipt[name] for name in ("partition", "offset", "acknowledged_at"))
    if pd.isna(acknowledged_at):
        return [Cell("–", GREY), Cell("–", GREY), Cell(f"refused: {receipt['error']}", VERMILLION)]
    return [
        Cell(f"partition {partition}", partition_colour(partition)),
        Cell(f"offset {offset}"),
        Cell(duration(acknowledged_at - receipt["produced_at"])),
    ]


def _finding(receipts: pd.DataFrame) -> str:
    if receipts.empty:
        return "No task was sent."
    delay = (receipts["acknowledged_at"] - receipts["produced_at"]).dropna()
    sent = f"The broker acknowledged {len(delay):,} of {counted(len(receipts), 'task')}"
    return f"{sent}, half of them within {duration(delay.median())}." if len(delay) else f"{sent}."
