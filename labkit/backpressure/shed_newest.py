"""Shed the newest: what finds the queue full is dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.backpressure.contract import ADMITTED, Action, AdmissionDecision, QueueView, too_many
from labkit.backpressure.registry import strategy, whole


@strategy
@dataclass(frozen=True, slots=True)
class ShedNewest:
    """At admission: beyond `limit` unfinished tasks the next one is dropped (tail drop).

    With random arrivals and exponential service times this is M/M/c/K with K = `limit`: how much is dropped is
    `labkit.theory.queues.blocking`.
    """

    name: ClassVar[str] = "shed_newest"

    limit: int = 100

    def __post_init__(self) -> None:
        whole(self.name, "limit", self.limit, least=1)

    def begin(self) -> None:
        """There is nothing to remember."""

    def judge(self, sight: QueueView, state: None, now: float) -> tuple[AdmissionDecision, None]:
        """Admit while fewer than `limit` are unfinished."""
        if sight.lag < self.limit:
            return ADMITTED, None
        return AdmissionDecision(action=Action.SHED_NEWEST, reason=too_many(sight, self.limit)), None
