"""A history told event by event."""

from __future__ import annotations

from itertools import count

from labkit.faults import Event, check
from tests.unit.faults.names import names_in


class Story:
    """Events in the order in which they are told; each task stands at the offset of its number on partition 0."""

    def __init__(self) -> None:
        self.events = []
        self._numbers = count()

    def __call__(self, by, what, *offsets, key="k", **fields):
        for offset in offsets:
            where = {"task": f"task-{offset}", "key": key, "partition": 0, "offset": offset} | fields
            self.events.append(Event(what=what, by=by, seq=next(self._numbers), at=0.0, **where))
        return self

    def on_topic(self, *offsets):
        return self("log", "written", *offsets)

    def did(self, by, *offsets):
        for offset in offsets:
            for what in ("received", "started", "finished"):
                self(by, what, offset)
        return self

    def names(self):
        return names_in(check(self.events))

    def only(self, name):
        verdict = check(self.events)
        assert names_in(verdict) == {name}, verdict
        (anomaly,) = verdict.anomalies[name]
        return anomaly
