"""Spill: what finds the queue full goes to a topic for later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.backpressure.contract import ADMITTED, Action, AdmissionDecision, QueueView, too_many
from labkit.backpressure.registry import strategy, whole


@strategy
@dataclass(frozen=True, slots=True)
class Spill:
    """At admission: beyond `limit` unfinished tasks the next one is put aside for later, so that none is lost.

    The wait is moved, not saved; it pays where later is soon enough.
    """

    name: ClassVar[str] = "spill"

    limit: int = 100

    def __post_init__(self) -> None:
        whole(self.name, "limit", self.limit, least=1)

    def begin(self) -> None:
        """There is nothing to remember."""

    def judge(self, sight: QueueView, state: None, now: float) -> tuple[AdmissionDecision, None]:
        """Admit while fewer than `limit` are unfinished."""
        if sight.lag < self.limit:
            return ADMITTED, None
        return AdmissionDecision(action=Action.SPILL, reason=too_many(sight, self.limit)), None
