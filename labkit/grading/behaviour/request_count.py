"""What a worker asks its broker: the requests that pass its relay, counted by kind. Nothing else of them is read."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from typing import Final

#: Kinds of requests, by their API keys in Kafka's protocol.
PRODUCE, FETCH, METADATA, OFFSET_COMMIT, JOIN_GROUP, HEARTBEAT = 0, 1, 3, 8, 11, 12
#: The heartbeat of the newer kind of group (KIP-848), by which a member also joins.
GROUP_HEARTBEAT = 68

#: A request begins with its length, which does not count itself, and its API key.
_HEAD: Final = struct.Struct(">ih")
_KEY_SIZE: Final = 2


class RequestCount:
    """Counts the requests of all connections. One thread counts, and any may look."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def so_far(self) -> Counter[int]:
        """How many there were, by API key."""
        return Counter(dict(self._counts))

    def connection(self) -> Callable[[bytes], None]:
        """What is told the bytes of a further connection, in whatever parts they come."""
        return _Requests(self._counts).take


class _Requests:
    """One connection. Whatever is said there, no more than the head of a request is kept."""

    def __init__(self, counts: Counter[int]) -> None:
        self._counts = counts
        self._head = b""
        self._left = 0

    def take(self, part: bytes) -> None:
        at = 0
        while at < len(part):
            if self._left:
                passed = min(self._left, len(part) - at)
                self._left -= passed
                at += passed
                continue
            missing = _HEAD.size - len(self._head)
            self._head += part[at : at + missing]
            at += missing
            if len(self._head) == _HEAD.size:
                length, key = _HEAD.unpack(self._head)
                self._counts[key] += 1
                self._head, self._left = b"", max(length - _KEY_SIZE, 0)
