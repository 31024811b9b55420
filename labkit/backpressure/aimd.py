"""A limit that is found from the measured latency: additive increase, multiplicative decrease."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from msgspec import Struct

from labkit.backpressure.strategy import ADMITTED, STRATEGIES, Action, AdmissionDecision, QueueView, too_many


class AimdLimit(Struct, frozen=True):
    """How many tasks may be unfinished, 1 or more, and when that was last lowered, in seconds."""

    value: float
    lowered_at: float


@STRATEGIES.register
@dataclass(frozen=True, slots=True)
class Aimd:
    """At the producer or at admission: beyond a limit tasks are refused, and the limit follows the latency.

    Each answer within `target` seconds raises the limit by 1 / limit, so by about one while as many tasks as the limit
    allows are answered; a mean latency above it multiplies the limit by `beta`. Chiu & Jain 1989, "Analysis of the
    Increase and Decrease Algorithms for Congestion Avoidance": of the linear rules this one comes to a fair and
    efficient share from anywhere. TCP does it with beta = 1/2 and a lost segment for a late one (Jacobson 1988,
    RFC 5681), Netflix's concurrency-limits with 0.9 on latency, which is what this follows, with two things added from
    TCP: the rise by 1 / limit, and no second cut until the answers to what was let in after the first one can be there.
    As there, the limit does not rise while less than half of it is used. It starts at `start` tasks.
    """

    name: ClassVar[str] = "aimd"

    target: float = 1.0
    beta: float = 0.9
    start: int = 10

    def __post_init__(self) -> None:
        STRATEGIES.positive(self, "target")
        STRATEGIES.below_one(self, "beta")
        STRATEGIES.whole(self, "start", least=1)

    def begin(self) -> AimdLimit:
        """The limit is that of the start."""
        return AimdLimit(float(self.start), -math.inf)

    def judge(self, sight: QueueView, state: AimdLimit, now: float) -> tuple[AdmissionDecision, AimdLimit]:
        """Move the limit by what was answered since the last time, then admit if there is room below it."""
        state = self._moved(sight, state, now)
        limit = math.floor(state.value)
        if sight.lag < limit:
            return ADMITTED, state
        return AdmissionDecision(action=Action.REFUSE, reason=too_many(sight, limit)), state

    def _moved(self, sight: QueueView, state: AimdLimit, now: float) -> AimdLimit:
        if sight.latency is None:
            return state
        if sight.latency > self.target:
            # what is answered within one latency after a cut was let in before it
            late_anyway = now < state.lowered_at + sight.latency
            return state if late_anyway else AimdLimit(max(1.0, state.value * self.beta), now)
        used = 2 * sight.lag >= state.value
        return AimdLimit(state.value + sight.answered / state.value, state.lowered_at) if used else state
