"""Shed the lowest class: what is least urgent makes room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.backpressure.contract import ADMITTED, Action, AdmissionDecision, QueueView, too_many
from labkit.backpressure.registry import strategy, whole


@strategy
@dataclass(frozen=True, slots=True)
class ShedLowest:
    """At admission: beyond `limit` unfinished tasks one of the lowest class is dropped, at the door or behind it.

    If a less urgent task waits behind the door, it makes room, and the newest of its class goes first; if none does,
    the task at the door is dropped. What is in work is not interrupted.
    """

    name: ClassVar[str] = "shed_lowest"

    limit: int = 100

    def __post_init__(self) -> None:
        whole(self.name, "limit", self.limit, least=1)

    def begin(self) -> None:
        """There is nothing to remember."""

    def judge(self, sight: QueueView, state: None, now: float) -> tuple[AdmissionDecision, None]:
        """Admit while fewer than `limit` are unfinished, or in exchange for a less urgent one that waits."""
        if sight.lag < self.limit:
            return ADMITTED, None
        makes_room = sight.lowest is not None and sight.lowest > sight.rank
        action = Action.SHED_LOWEST if makes_room else Action.SHED_NEWEST
        return AdmissionDecision(action=action, reason=too_many(sight, self.limit)), None
