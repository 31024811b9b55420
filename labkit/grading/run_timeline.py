"""What happened in a run of a solution, for a picture of it: who had which task when, and what was done to them."""

from __future__ import annotations

from msgspec import Struct

#: So many tasks in hand, and so many marks, are kept of a run.
MOST_SPANS, MOST_MARKS = 500, 20


class TaskSpan(Struct, frozen=True, forbid_unknown_fields=True):
    """A worker had this task in hand from `began` to `done`, in seconds since the run began; None: that never came."""

    task: str
    who: str
    partition: int
    began: float
    done: float | None = None


class TimelineMark(Struct, frozen=True, forbid_unknown_fields=True):
    """What the grader did, and when, in seconds since the run began."""

    label: str
    at: float


class RunTimeline(Struct, frozen=True, forbid_unknown_fields=True):
    """The workers, the tasks that they had in hand in the order in which they were begun, and what was done meanwhile.
    It ends at `end`.
    """

    workers: tuple[str, ...]
    spans: tuple[TaskSpan, ...]
    marks: tuple[TimelineMark, ...]
    end: float
