"""Faults: histories of runs in which things were broken on purpose, and the checker that says what went wrong."""

from labkit.faults.checker import check
from labkit.faults.commit_log import COMMITS_TOPIC, group_commits
from labkit.faults.history import Event, History, read_history, write_history
from labkit.faults.sources import from_records
from labkit.faults.verdict import (
    ANOMALIES,
    DEAD_TWICE,
    DUPLICATE,
    EFFECT_TWICE,
    GOING_BACK,
    LOST,
    OUT_OF_ORDER,
    SKIPPED,
    UNWRITTEN,
    Anomaly,
    Verdict,
)

__all__ = [
    "ANOMALIES",
    "COMMITS_TOPIC",
    "DEAD_TWICE",
    "DUPLICATE",
    "EFFECT_TWICE",
    "GOING_BACK",
    "LOST",
    "OUT_OF_ORDER",
    "SKIPPED",
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
