"""The memory of an admission on the live system, where a strategy may be somebody else's and raise anything."""

from __future__ import annotations

from typing import TypeVar

from labkit.backpressure import AdmissionDecision, AdmissionState, Strategy
from labkit.taskqueue.engine.failure import foreign_function

S = TypeVar("S")


class GuardedAdmission(AdmissionState[S]):
    """As `AdmissionState`; what the strategy raises becomes a `LabkitError` that names it and the place."""

    def __init__(self, strategy: Strategy[S]) -> None:
        who = f"The strategy {strategy.name!r}"
        foreign_function(who, super().__init__)(strategy)
        self._judge = foreign_function(who, super().judge)

    def judge(self, now: float, *, lag: int, rank: int = 0, lowest: int | None = None) -> AdmissionDecision:
        """As in `AdmissionState`."""
        return self._judge(now, lag=lag, rank=rank, lowest=lowest)
