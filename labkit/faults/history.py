"""A history: what every actor of a run did, as a list of events.

`what`        by        means
sent          producer  the task was handed to the client
acknowledged  producer  the client said that the task is safe, at this partition and offset
refused       producer  the client said that the task was not written
written       log       the task is on the topic: read from the log when the run was over
assigned      worker    the partition is the worker's from now on; `offset` is the commit point it was told, `beyond`
                        what is finished beyond it
received      worker    a poll returned the record
started       worker    the handler began
finished      worker    the handler returned
failed        worker    the handler raised
committed     worker    the group took this commit; `offset` is the commit point (the next record to do), `beyond` the
              or group  finished offsets after it that the commit remembers
dead          worker    the task became a dead letter; partition and offset are where it came from
effect        worker    the effect with this `key` was done for the task
fault         nemesis   something was broken on purpose: `note` says what, `whom` says to whom

A history is of one topic and one group, and of a whole run: at its end the queue had the time to run empty. Every actor
numbers its own events (`seq`). `at` is in seconds by the actor's own clock, and only shown to people.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

What = Literal[
    "sent",
    "acknowledged",
    "refused",
    "written",
    "assigned",
    "received",
    "started",
    "finished",
    "failed",
    "committed",
    "dead",
    "effect",
    "fault",
]


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one actor did at one moment; see the module for the kinds. `at` is in seconds."""

    what: What
    by: str
    seq: int
    at: float
    task: str | None = None
    key: str | None = None
    partition: int | None = None
    offset: int | None = None
    attempt: int | None = None
    beyond: tuple[int, ...] = ()
    whom: str | None = None
    note: str | None = None


class History(tuple[Event, ...]):
    """The events of a run. Their order in the tuple means nothing but for events of one actor with equal `seq`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<History of {len(self)} events by {len({event.by for event in self})} actors>"
