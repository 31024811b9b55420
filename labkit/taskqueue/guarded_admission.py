"""The memory of an admission on the live system, where a strategy may be somebody else's and raise anything."""

from __future__ import annotations

from typing import TypeVar

from labkit.backpressure import AdmissionDecision, AdmissionState, Strategy
from labkit.errors import LabkitError
from labkit.taskqueue.engine.failure import describe_with_place

S = TypeVar("S")


class GuardedAdmission(AdmissionState[S]):
    """As `AdmissionState`; what the strategy raises becomes a `LabkitError` that names it and the place."""

    def __init__(self, strategy: Strategy[S]) -> None:
        try:
            super().__init__(strategy)
        except LabkitError:
            raise
        except Exception as error:
            raise _told(strategy, error) from error

    def judge(self, now: float, *, lag: int, rank: int = 0, lowest: int | None = None) -> AdmissionDecision:
        """As in `AdmissionState`."""
        try:
            return super().judge(now, lag=lag, rank=rank, lowest=lowest)
        except LabkitError:
            raise
        except Exception as error:
            raise _told(self.strategy, error) from error


def _told(strategy: Strategy[S], error: Exception) -> LabkitError:
    return LabkitError(f"The strategy {strategy.name!r} raised {describe_with_place(error)}.")
