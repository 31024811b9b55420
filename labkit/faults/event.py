"""The events of a history: what every actor of a run did.

`what`        by        means
sent          producer  the task was handed to the client
acknowledged  producer  the client said that the task is safe, at this partition and offset
refused       producer  the client said that the task was not written
written       log       the task is on the topic: read from the log when the run was over; `content` is a fingerprint of
                        the record's key and value, `note` the idempotency key, if it has one
retained      log       the log of the partition begins at `offset` now; `note` is the topic's cleanup policy
assigned      worker    the partition is the worker's from now on; `offset` is the commit point it was told, `beyond`
                        what is finished beyond it
received      worker    a poll returned the record
started       worker    the handler began
finished      worker    the handler returned
failed        worker    the handler raised
repeated      worker    the task was recognised as done before, and the handler was not called
shed          worker    the task was dropped on purpose, unbegun
spilled       worker    the task was put on another topic, for later
requeued      worker    the task was put behind the others on its own topic, as another record
committed     worker    the group took this commit; `offset` is the commit point (the next record to do), `beyond` the
              or group  finished offsets after it that the commit remembers
dead          worker    the task became a dead letter; partition and offset are where it came from
replayed      anybody   the dead letter from this partition and offset was taken away and its task put back
dropped       anybody   the dead letter from this partition and offset was taken away for good
effect        worker    the effect with this `key` was done for the task
fault         nemesis   something was broken on purpose: `note` says what, `whom` says to whom

A history is of one topic, and of a whole run: at its end the queue had the time to run empty. `group` is the consumer
group of who did it, where there are several. Every actor numbers its own events (`seq`); where one number stands at two
different events, the order of that actor is not known. The order of the events means nothing. `at` is in seconds by the
actor's own clock, and only shown to people.
"""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

What = Literal[
    "sent",
    "acknowledged",
    "refused",
    "written",
    "retained",
    "assigned",
    "received",
    "started",
    "finished",
    "failed",
    "repeated",
    "shed",
    "spilled",
    "requeued",
    "committed",
    "dead",
    "replayed",
    "dropped",
    "effect",
    "fault",
]

#: The kinds of events there are.
KINDS: tuple[What, ...] = get_args(What)


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
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
    group: str | None = None
    content: str | None = None
