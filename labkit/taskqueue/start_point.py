"""From where on a topic is read: its beginning, its end, an offset, or a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self

from labkit.errors import LabkitError
from labkit.taskqueue.transport.contract import AdminClient


@dataclass(frozen=True, slots=True)
class StartPoint:
    """A place on every partition of a topic. `value` is an offset, or a time in ms since 1970."""

    kind: Literal["earliest", "latest", "offset", "time"]
    value: int = 0

    @classmethod
    def parse(cls, text: str, *, option: str) -> Self:
        """What stands behind an option: earliest, latest, an offset, or a time; raises `LabkitError`.

        A time is one of ISO 8601, of this computer's time zone if it names none.
        """
        match text:
            case "earliest" | "latest":
                return cls(text)
            case _ if text.isascii() and text.isdigit():
                return cls("offset", int(text[:_DIGITS]))
        try:
            return cls("time", int(datetime.fromisoformat(text).astimezone().timestamp() * 1000))
        except (ValueError, OverflowError, OSError):  # the last ones for times that computers do not count
            raise LabkitError(
                f"--{option} {text!r} is neither earliest, latest, an offset, as 17, nor a time, as 2026-11-30T20:15."
            ) from None

    def offsets(self, admin: AdminClient, topic: str) -> dict[int, int]:
        """Per partition of the topic, the offset meant, within what is there; raises `UnknownTopic`.

        At a time, it is that of the first record of that time or later. `topic` as on the broker.
        """
        ends = admin.end_offsets(topic)
        if self.kind == "latest":
            return ends
        starts = admin.start_offsets(topic)
        wanted: Mapping[int, int] = {}
        if self.kind == "time":
            wanted = admin.offsets_at(topic, self.value)
        elif self.kind == "offset":
            wanted = dict.fromkeys(ends, self.value)
        # a partition that came meanwhile begins at 0
        return {
            number: min(max(wanted.get(number, 0), starts.get(number, 0)), end) for number, end in sorted(ends.items())
        }


#: More of a number are not looked at: no offset is as large.
_DIGITS = 19
