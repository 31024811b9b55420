"""Slow down: the longer the queue, the larger the gap between two tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from msgspec import Struct

from labkit.backpressure.strategy import ADMITTED, STRATEGIES, AdmissionDecision, QueueView, wait


class Sent(Struct, frozen=True):
    """When the last task was let in, in seconds; None before the first."""

    at: float | None


@STRATEGIES.register
@dataclass(frozen=True, slots=True)
class Slow:
    """At the producer: a gap of `per_task` seconds for each unfinished task above `threshold`.

    Proportional control: in overload the lag settles where the gap is as long as the servers need for a task, at
    threshold + 1 / (per_task * rate of the servers). With n producers, each with this strategy, it is n times as far
    above the threshold. It looks again after `look` seconds at the latest, because the lag may have fallen meanwhile.
    """

    name: ClassVar[str] = "slow"

    threshold: int = 100
    per_task: float = 0.001
    look: float = 0.1

    def __post_init__(self) -> None:
        STRATEGIES.whole(self, "threshold", least=0)
        STRATEGIES.positive(self, "per_task")
        STRATEGIES.positive(self, "look")

    def begin(self) -> Sent:
        """Nothing has been let in."""
        return Sent(None)

    def judge(self, sight: QueueView, state: Sent, now: float) -> tuple[AdmissionDecision, Sent]:
        """Admit when the gap since the last task is as long as the lag asks for."""
        beyond = max(0, sight.lag - self.threshold)
        due = now if state.at is None else state.at + beyond * self.per_task
        if now >= due:
            return ADMITTED, Sent(now)
        reason = f"{sight.lag:,} tasks are not finished, {beyond:,} more than the threshold"
        return wait(min(due - now, self.look), reason), state
