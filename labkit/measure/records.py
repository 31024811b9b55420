"""The record that each attempt at a task leaves, and the one DataFrame that all figures are drawn from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

#: The outcomes of an attempt.
DONE, FAILED = "done", "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """One attempt at one task. Times are seconds since the epoch; None where the moment is not known.

    `scheduled_at` is when the task should have been sent by its schedule: waiting counts from there, so
    that a slow generator cannot hide a queue (no coordinated omission).
    """

    task_id: str
    kind: str
    topic: str
    partition: int
    offset: int
    key: str | None
    priority: int
    worker: str
    attempt: int
    scheduled_at: float
    produced_at: float
    acknowledged_at: float | None
    received_at: float
    started_at: float
    finished_at: float
    outcome: str
    error: str | None


_TEXT = ("task_id", "kind", "topic", "key", "worker", "outcome", "error")
_WHOLE = ("partition", "offset", "priority", "attempt")

#: The columns of the DataFrame, in order.
COLUMNS = tuple(field.name for field in fields(TaskRecord))


def to_frame(records: Iterable[TaskRecord]) -> pd.DataFrame:
    """One row per attempt, shape (attempts, len(COLUMNS)), in the order in which they finished."""
    rows = list(records)
    frame = pd.DataFrame({name: _column(name, [getattr(row, name) for row in rows]) for name in COLUMNS})
    return frame.sort_values("finished_at", kind="stable", ignore_index=True)


def _column(name: str, values: list[object]) -> pd.Series:
    if name in _TEXT:
        return pd.Series(values, dtype="str")
    return pd.Series(values, dtype=np.int64 if name in _WHOLE else np.float64)


def write_records(frame: pd.DataFrame, path: Path) -> Path:
    """Write the DataFrame as Parquet; the folder is made, and the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    frame.to_parquet(part, index=False)
    return part.replace(path)


def read_records(*paths: Path) -> pd.DataFrame:
    """Read one or several Parquet files of records into one DataFrame, ordered by finishing time."""
    frame = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
    return frame.sort_values("finished_at", kind="stable", ignore_index=True)
