"""How far a partition is done: its commit point, and what is finished beyond it.

A consumer group remembers one offset per partition: everything before it is done. Work that goes on side by side
finishes in another order, so the offsets finished beyond the commit point are remembered in the free text that goes
with a commit (its metadata). A restart then repeats only what was not finished.
"""

from __future__ import annotations

import binascii
import zlib
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Self

from labkit.taskqueue.transport.contract import Position

#: What a broker takes as metadata by default, in bytes (`offset.metadata.max.bytes`).
MAX_METADATA_BYTES = 4096

_VERSION = "labkit1"


@dataclass(frozen=True, slots=True)
class OffsetMetadata:
    """What goes with a commit.

    `finished`: offsets after the commit point that are done. `starts`: how often work was begun at this commit
    point by workers that neither got past it nor left in order. `alone_until`: up to this offset one task at a time
    is worked on, because one of them seems to kill its worker (see `labkit.taskqueue.engine.partition_state`); 0: none.
    """

    finished: frozenset[int] = frozenset()
    starts: int = 0
    alone_until: int = 0

    def encode(self, commit_point: int) -> str:
        """The text for the metadata, at most `MAX_METADATA_BYTES`.

        If not everything fits, the offsets farthest away are left out: they would be worked on again.
        Raises ValueError if an offset is not beyond the commit point.
        """
        if min(self.finished, default=commit_point + 1) <= commit_point:
            raise ValueError(f"{min(self.finished)} is not beyond the commit point {commit_point}")
        width = max(self.finished, default=commit_point) - commit_point
        while True:
            near = [offset - commit_point - 1 for offset in self.finished if offset <= commit_point + width]
            text = f"{_VERSION} {self.starts} {self.alone_until} {_to_text(near)}"
            if len(text) <= MAX_METADATA_BYTES:
                return text
            width //= 2

    @classmethod
    def decode(cls, text: str, commit_point: int) -> Self:
        """What `encode` wrote; a text of anybody else means nothing is known."""
        try:
            version, starts, alone_until, bits = text.split(" ")
            if version != _VERSION:
                return cls()
            finished = frozenset(commit_point + 1 + bit for bit in _from_text(bits))
            return cls(finished, int(starts), int(alone_until))
        except (ValueError, binascii.Error, zlib.error):
            return cls()


def _to_text(numbers: Collection[int]) -> str:
    """Numbers as a bitmap, compressed: dense or sparse, it stays short."""
    bitmap = bytearray(max(numbers, default=-1) // 8 + 1)
    for number in numbers:
        bitmap[number >> 3] |= 1 << (number & 7)
    return b64encode(zlib.compress(bitmap, 1)).decode()


def _from_text(text: str) -> list[int]:
    bitmap = zlib.decompress(b64decode(text, validate=True))
    return [8 * place + bit for place, byte in enumerate(bitmap) for bit in range(8) if byte >> bit & 1]


class OffsetTracker:
    """What was received and what is finished on one partition. Offsets may have gaps, as Kafka's have."""

    def __init__(self, start: int, finished: Collection[int] = ()) -> None:
        self._received: deque[int] = deque()
        self._finished = {offset for offset in finished if offset >= start}
        while start in self._finished:
            self._finished.remove(start)
            start += 1
        self.commit_point = start

    @property
    def head(self) -> int | None:
        """The first offset that was received and is not finished."""
        return self._received[0] if self._received else None

    def after(self, offsets: Iterable[int]) -> OffsetTracker:
        """A copy, in which these are finished too."""
        other = OffsetTracker(self.commit_point, self._finished)
        other._received = self._received.copy()
        for offset in offsets:
            other.finish(offset)
        return other

    def receive(self, offset: int) -> bool:
        """A record has come; False if its work was finished already, before a restart."""
        if offset < self.commit_point:
            return False
        self._received.append(offset)
        if offset not in self._finished:
            return True
        self._advance()
        return False

    def finish(self, offset: int) -> None:
        """The work on this offset is done, or its task is among the dead letters."""
        if offset >= self.commit_point:
            self._finished.add(offset)
            self._advance()

    def finished_since(self, offset: int) -> frozenset[int]:
        """Every offset from this one on that is finished, and, harmlessly, those between that are no records."""
        return frozenset(range(offset, self.commit_point)) | self._finished

    def skip_to(self, offset: int) -> bool:
        """There is no record before this offset that was not received; whether that moves the commit point."""
        if self._received or offset <= self.commit_point:
            return False
        self.commit_point = offset
        self._finished = {finished for finished in self._finished if finished >= offset}
        self._advance()
        return True

    def position(self, *, starts: int = 0, alone_until: int = 0) -> Position:
        """The commit point with its metadata."""
        memo = OffsetMetadata(frozenset(self._finished), starts, alone_until)
        if memo == OffsetMetadata():
            return Position(self.commit_point)
        return Position(self.commit_point, memo.encode(self.commit_point))

    def _advance(self) -> None:
        received, finished = self._received, self._finished
        while received and received[0] in finished:
            offset = received.popleft()
            finished.remove(offset)
            self.commit_point = offset + 1
        # what was finished before a restart and has not come again, because the fetch ended before it
        while self.commit_point in finished and (not received or received[0] > self.commit_point):
            finished.remove(self.commit_point)
            self.commit_point += 1
