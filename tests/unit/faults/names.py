"""The names of the anomalies that a verdict has found."""

from __future__ import annotations

from labkit.faults import Verdict


def names_in(verdict: Verdict) -> set[str]:
    return {name for name, count in verdict.counts.items() if count}
