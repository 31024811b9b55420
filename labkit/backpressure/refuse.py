"""Refuse: the sender hears that there is no room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.backpressure.contract import ADMITTED, Action, AdmissionDecision, QueueView, too_many
from labkit.backpressure.registry import strategy, whole


@strategy
@dataclass(frozen=True, slots=True)
class Refuse:
    """At the producer: beyond `limit` unfinished tasks the next one is not accepted, and its sender is told.

    What is then done about it is up to the sender, who alone knows whether the task can wait or be dropped.
    """

    name: ClassVar[str] = "refuse"

    limit: int = 100

    def __post_init__(self) -> None:
        whole(self.name, "limit", self.limit, least=1)

    def begin(self) -> None:
        """There is nothing to remember."""

    def judge(self, sight: QueueView, state: None, now: float) -> tuple[AdmissionDecision, None]:
        """Admit while fewer than `limit` are unfinished."""
        if sight.lag < self.limit:
            return ADMITTED, None
        return AdmissionDecision(action=Action.REFUSE, reason=too_many(sight, self.limit)), None
