"""Pause and resume, with hysteresis: stop at high water, go on at low water."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from msgspec import Struct

from labkit.backpressure.strategy import ADMITTED, STRATEGIES, AdmissionDecision, QueueView, wait
from labkit.errors import SettingsError


class Flow(Struct, frozen=True):
    """Whether admission is shut."""

    paused: bool


@STRATEGIES.register
@dataclass(frozen=True, slots=True)
class Pause:
    """At the worker or at admission: nothing more is let in from `high` unfinished tasks on until `low` are left.

    What waits before admission stays where it is, on the topic. The two marks are apart so that admission does not
    open and shut with each task: to pause and resume a consumer costs a fetch. `low` must leave the servers work for
    `look` seconds, after which it looks again.
    """

    name: ClassVar[str] = "pause"

    high: int = 100
    low: int = 50
    look: float = 0.1

    def __post_init__(self) -> None:
        STRATEGIES.whole(self, "high", least=1)
        STRATEGIES.whole(self, "low", least=0)
        STRATEGIES.positive(self, "look")
        if self.low >= self.high:
            raise SettingsError(
                f"The strategy 'pause' is to go on at {self.low} tasks and to stop at {self.high}; "
                "make 'low' smaller than 'high'."
            )

    def begin(self) -> Flow:
        """Admission is open."""
        return Flow(paused=False)

    def judge(self, sight: QueueView, state: Flow, now: float) -> tuple[AdmissionDecision, Flow]:
        """Admit while it is open; shut it at `high`, open it at `low`."""
        paused = sight.lag > self.low if state.paused else sight.lag >= self.high
        if not paused:
            return ADMITTED, Flow(paused=False)
        reason = f"paused at {self.high:,} unfinished tasks until {self.low:,} are left"
        return wait(self.look, reason), Flow(paused=True)
