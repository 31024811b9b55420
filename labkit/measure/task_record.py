"""The record of one attempt at one task, and the columns that many of them make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    import pandas as pd

#: The outcomes of an attempt: the handler returned; it raised and the task is tried again; it raised, or killed its
#: worker, for the last time; the record was not a task. What is dead or bad is a dead letter from then on.
DONE, FAILED, DEAD, BAD = "done", "failed", "dead", "bad"
#: Outcomes that are no attempts: a dispatcher has dropped the task, or put it on a topic for later; a worker of a share
#: group has put it behind the others on its own topic; it was done before, by another delivery.
SHED, SPILLED, REQUEUED, REPEATED = "shed", "spilled", "requeued", "repeated"
NO_ATTEMPTS = (SHED, SPILLED, REQUEUED, REPEATED)

_TEXT = ("task_id", "kind", "topic", "key", "worker", "outcome", "error")


class TaskRecord(Struct, frozen=True, kw_only=True, gc=False):
    """One attempt at one task. Times are seconds since the epoch; None where the moment is not known.

    `scheduled_at` is when the task should have been sent by its schedule: waiting counts from there, so
    that a slow generator cannot hide a queue (no coordinated omission). `finished_at` is `started_at` and the time that
    the attempt has taken, also where the clock was set meanwhile.
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


def printable(record: TaskRecord) -> TaskRecord:
    """The record with its texts as UTF-8 can hold them: halves of surrogate pairs are written as `\\ud800`."""
    texts = {name: value for name in _TEXT if isinstance(value := getattr(record, name), str)}
    return replace(record, **{name: text.encode("utf-8", "backslashreplace").decode() for name, text in texts.items()})


_WHOLE = ("partition", "offset", "priority", "attempt")

#: The columns of the DataFrame of records, in order.
COLUMNS = TaskRecord.__struct_fields__


def column_dtype(name: str, whole: str = "int64") -> str:
    """The dtype of a column of records, or of receipts, whose whole numbers may be missing."""
    if name in _TEXT:
        return "str"
    return whole if name in _WHOLE else "float64"


def in_order_of_finishing(frame: pd.DataFrame) -> pd.DataFrame:
    """The records by the time at which they finished; those of the same time as they stand."""
    return frame.sort_values("finished_at", kind="stable", ignore_index=True)
