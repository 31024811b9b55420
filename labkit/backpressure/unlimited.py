"""No limit: what the other strategies are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.backpressure.contract import ADMITTED, AdmissionDecision, QueueView
from labkit.backpressure.registry import strategy


@strategy
@dataclass(frozen=True, slots=True)
class Unlimited:
    """Every task is let in. In overload the queue grows for as long as it lasts, and so does the wait."""

    name: ClassVar[str] = "unlimited"

    def begin(self) -> None:
        """There is nothing to remember."""

    def judge(self, sight: QueueView, state: None, now: float) -> tuple[AdmissionDecision, None]:
        """Admit."""
        return ADMITTED, None
