"""Measuring: the records that tasks leave, numbers from them (`metrics`) and figures of them (`plots`).

`from labkit.measure import metrics, plots` loads those two, with pandas and matplotlib; the names below are cheap.
"""

from labkit.measure.idle_processors import IdleProcessors
from labkit.measure.records import Receipt, read_records, receipts_to_frame, to_frame, with_receipts, write_records
from labkit.measure.task_record import BAD, DONE, FAILED, TaskRecord

__all__ = [
    "BAD",
    "DONE",
    "FAILED",
    "IdleProcessors",
    "Receipt",
    "TaskRecord",
    "read_records",
    "receipts_to_frame",
    "to_frame",
    "with_receipts",
    "write_records",
]
