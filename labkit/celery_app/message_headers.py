"""The headers of a message in Celery's queue: what Celery takes for granted, how it is written, its place, and when it
is due.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from kombu.serialization import register

#: How labkit's tasks are written. In Celery's own JSON an object with the keys `__type__` and `__value__` is read as
#: what they name, or not at all, and a payload may have them.
SERIALIZER = "labkit"
register(  # type: ignore[no-untyped-call]  # kombu has types, but not everywhere
    SERIALIZER, json.dumps, json.loads, content_type="application/x-labkit+json", content_encoding="utf-8"
)

#: Whether the message goes to the front of its level.
FIRST = "labkit_first"

#: What Celery takes for granted of a message's headers (https://docs.celeryq.dev/en/stable/internals/protocol.html).
_HEADERS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        ("id", "task", "root_id", "parent_id", "group", "eta", "expires"), lambda value: type(value) is str
    ),
    "retries": lambda value: type(value) is int,
    "timelimit": lambda value: (
        type(value) is list and [type(one) in (int, float, type(None)) for one in value] == [True] * 2
    ),
    "stamped_headers": lambda value: type(value) is list,
    "stamps": lambda value: type(value) is dict,
}


def check_headers(headers: Any) -> None:
    """Raise `ValueError` for headers that Celery would choke on later, with a place in its pool taken."""
    for name, is_known in _HEADERS.items():
        value = headers.get(name)
        if not (is_known(value) or (value is None and name != "id")):
            raise ValueError(f"the header {name!r} is {value!r}")


def bound_wait(headers: dict[str, Any], longest: float, *, clock: Callable[[], float] = time.time) -> None:
    """Let the message wait for `longest` seconds from now at most; raises `ValueError` for a moment that is none.

    Celery says when it is due by the clock of the computer that has sent it. That of this one may go behind, or was
    set back since.
    """
    if headers.get("eta") is None:
        return
    due = datetime.fromisoformat(headers["eta"])
    latest = datetime.fromtimestamp(clock() + longest, UTC)
    if due.replace(tzinfo=due.tzinfo or UTC) > latest:
        headers["eta"] = latest.isoformat()
