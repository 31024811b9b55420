"""A token bucket: so many tasks a second in the long run, and so many at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from msgspec import Struct

from labkit.backpressure.strategy import ADMITTED, STRATEGIES, AdmissionDecision, QueueView, wait


class Bucket(Struct, frozen=True):
    """When the bucket will be full again, in seconds, if no task comes."""

    full_at: float


@STRATEGIES.register
@dataclass(frozen=True, slots=True)
class TokenBucket:
    """Anywhere: at most `rate` tasks a second in the long run, and `burst` at once after a quiet time.

    The bucket holds `burst` tokens at most and gets `rate` of them a second; a task takes one, and waits for it if
    there is none. So in any t seconds at most burst + rate * t tasks are let in. It does not look at the queue: it
    helps if the rate is known beforehand. What is remembered is not the tokens but when the bucket will be full again,
    which is the same (virtual scheduling, ITU-T I.371) and does not gather rounding.
    """

    name: ClassVar[str] = "token_bucket"

    rate: float = 100.0
    burst: int = 10

    def __post_init__(self) -> None:
        STRATEGIES.positive(self, "rate")
        STRATEGIES.whole(self, "burst", least=1)

    def begin(self) -> Bucket:
        """The bucket is full."""
        return Bucket(-math.inf)

    def judge(self, sight: QueueView, state: Bucket, now: float) -> tuple[AdmissionDecision, Bucket]:
        """Admit if there is a token, or else ask again when there is one."""
        token_at = state.full_at - (self.burst - 1) / self.rate
        if now >= token_at:
            return ADMITTED, Bucket(max(now, state.full_at) + 1 / self.rate)
        return wait(token_at - now, f"more than {self.rate:g} tasks a second come"), state
