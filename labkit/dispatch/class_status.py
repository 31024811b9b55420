"""How the classes of one dispatcher stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct


class ClassStatus(Struct, frozen=True, kw_only=True):
    """One class, as its dispatcher sees it: `waiting` have come from Kafka, `sent` went to Celery, `held` says why
    the next one waits (empty if it does not)."""

    name: str
    topic: str
    waiting: int
    sent: int
    shed: int
    dead: int
    held: str


class ClassCounts:
    """What has become of the tasks of each class since its dispatcher began. One thread counts, any may look."""

    def __init__(self, names: Iterable[str]) -> None:
        self.sent = dict.fromkeys(names, 0)
        self.shed = dict.fromkeys(self.sent, 0)
        self.dead = dict.fromkeys(self.sent, 0)
        #: why each class waits that does
        self.held: Mapping[str, str] = {}

    def status(self, name: str, *, topic: str, waiting: int) -> ClassStatus:
        """How this class stands."""
        return ClassStatus(
            name=name,
            topic=topic,
            waiting=waiting,
            sent=self.sent[name],
            shed=self.shed[name],
            dead=self.dead[name],
            held=self.held.get(name, ""),
        )
