"""A limit to how many tasks may be unfinished, in four ways, and no limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.backpressure.strategy import ADMITTED, STRATEGIES, Action, AdmissionDecision, QueueView, too_many


@STRATEGIES.register
@dataclass(frozen=True, slots=True)
class Unlimited:
    """Every task is let in. In overload the queue grows for as long as it lasts, and so does the wait."""

    name: ClassVar[str] = "unlimited"

    def begin(self) -> None:
        """There is nothing to remember."""

    def judge(self, sight: QueueView, state: None, now: float) -> tuple[AdmissionDecision, None]:
        """Admit."""
        return ADMITTED, None


@dataclass(frozen=True, slots=True)
class Limit:
    """Beyond `limit` unfinished tasks the next one is not let in; what becomes of it is the `action`."""

    name: ClassVar[str]
    action: ClassVar[Action]

    limit: int = 100

    def __post_init__(self) -> None:
        STRATEGIES.whole(self, "limit", least=1)

    def begin(self) -> None:
        """There is nothing to remember."""

    def judge(self, sight: QueueView, state: None, now: float) -> tuple[AdmissionDecision, None]:
        """Admit while fewer than `limit` are unfinished."""
        if sight.lag < self.limit:
            return ADMITTED, None
        return AdmissionDecision(action=self._beyond(sight), reason=too_many(sight, self.limit)), None

    def _beyond(self, sight: QueueView) -> Action:
        return self.action


@STRATEGIES.register
class Refuse(Limit):
    """At the producer: beyond `limit` unfinished tasks the next one is not accepted, and its sender is told.

    What is then done about it is up to the sender, who alone knows whether the task can wait or be dropped.
    """

    name = "refuse"
    action = Action.REFUSE


@STRATEGIES.register
class ShedNewest(Limit):
    """At admission: beyond `limit` unfinished tasks the next one is dropped (tail drop).

    With random arrivals and exponential service times this is M/M/c/K with K = `limit`: how much is dropped is
    `labkit.theory.queues.blocking`.
    """

    name = "shed_newest"
    action = Action.SHED_NEWEST


@STRATEGIES.register
class ShedLowest(Limit):
    """At a dispatcher: beyond `limit` unfinished tasks one of the lowest class is dropped, at admission or behind it.

    If a less urgent task waits behind admission, it makes room, and the newest of its class goes first; if none does,
    the task at admission is dropped. What is in work is not interrupted.
    """

    name = "shed_lowest"
    action = Action.SHED_NEWEST

    def _beyond(self, sight: QueueView) -> Action:
        makes_room = sight.lowest is not None and sight.lowest > sight.rank
        return Action.SHED_LOWEST if makes_room else self.action


@STRATEGIES.register
class Spill(Limit):
    """At admission: beyond `limit` unfinished tasks the next one is put aside for later, so that none is lost.

    The wait is moved, not saved; it pays where later is soon enough.
    """

    name = "spill"
    action = Action.SPILL
