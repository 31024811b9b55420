"""Faults: histories of runs in which things were broken on purpose, and the checker that says what went wrong."""

from labkit.faults.checker import check
from labkit.faults.commit_log import COMMITS_TOPIC, group_commits
from labkit.faults.event import Event
from labkit.faults.history import History, read_history, write_history
from labkit.faults.sources import from_records
from labkit.faults.verdict import (
    AHEAD,
    ANOMALIES,
    DEAD_THOUGH_DONE,
    DEAD_TWICE,
    DEAD_UNBEGUN,
    DONE_UNBEGUN,
    DUPLICATE,
    EFFECT_TWICE,
    GOING_BACK,
    LOST,
    LOST_IN_REPLAY,
    NO_EFFECT,
    OUT_OF_ORDER,
    REUSED_ID,
    SKIPPED,
    SWAPPED,
    UNWRITTEN,
    Anomaly,
    Verdict,
)

__all__ = [
    "AHEAD",
    "ANOMALIES",
    "COMMITS_TOPIC",
    "DEAD_THOUGH_DONE",
    "DEAD_TWICE",
    "DEAD_UNBEGUN",
    "DONE_UNBEGUN",
    "DUPLICATE",
    "EFFECT_TWICE",
    "GOING_BACK",
    "LOST",
    "LOST_IN_REPLAY",
    "NO_EFFECT",
    "OUT_OF_ORDER",
    "REUSED_ID",
    "SKIPPED",
    "SWAPPED",
    "UNWRITTEN",
    "Anomaly",
    "Event",
    "History",
    "Verdict",
    "check",
    "from_records",
    "group_commits",
    "read_history",
    "write_history",
]
