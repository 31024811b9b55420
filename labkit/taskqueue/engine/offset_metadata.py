"""What goes with a commit: what is done beyond the commit point, on which topic, and how often work was begun there.

A consumer group remembers one offset per partition: everything before it is done. Work that goes on side by side is
done in another order, so what is done beyond the commit point is remembered in the free text that goes with a commit
(its metadata), run-length encoded, as `confluentinc/parallel-consumer` does. The text names the topic by its id
(KIP-516), so that the offsets of another topic of the same name are never believed.
"""

from __future__ import annotations

import binascii
import zlib
from base64 import b64decode, b64encode
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Self

from labkit.errors import MetadataTooLarge
from labkit.logs.safe_logger import safe_logger
from labkit.taskqueue.transport.values import Position, TopicPartition

#: What a broker takes as metadata by default, in bytes (`offset.metadata.max.bytes`), less the zero byte that ends it.
MAX_METADATA_BYTES = 4096 - 1
#: So many runs of offsets are looked at when the text is written. More seldom fit into it.
MAX_RUNS = 4096
#: A text that tells of no run is shorter than this, in bytes: the topic's id is in it, so no step may leap over it.
_BARE = 80
#: How long a text may become when it is unpacked, in bytes: longer ones are not labkit's.
_MAX_UNPACKED = 1 << 20

log = safe_logger("labkit.worker")

_RUNS, _BITMAP = "labkit2", "labkit1"
_NO_ID = "-"


@dataclass(frozen=True, slots=True)
class OffsetMetadata:
    """What goes with a commit.

    `done`: the runs of offsets beyond the commit point that are done or are no records, in order and apart from each
    other. `topic_id` is that of the topic whose offsets they are; empty if that is not known. `starts`: how often work
    was begun at this commit point by workers that neither got past it nor left in order. `alone_until`: up to this
    offset one task at a time is worked on, because one of them seems to kill its worker; 0 if none does.
    """

    done: tuple[range, ...] = ()
    topic_id: str = ""
    starts: int = 0
    alone_until: int = 0

    def is_done(self, offset: int) -> bool:
        """Whether this offset beyond the commit point is among those that are done."""
        place = bisect_right(self.done, offset, key=lambda run: run.start)
        return place > 0 and offset in self.done[place - 1]

    def offsets(self) -> Iterator[int]:
        """The offsets of `done`, one by one."""
        return chain.from_iterable(self.done)

    def encode(self, commit_point: int, limit: int = MAX_METADATA_BYTES) -> str:
        """The text for the metadata, at most so many bytes.

        If not everything fits, the offsets farthest away are left out: they would be worked on again. If nothing does,
        it is empty. Raises ValueError if an offset is not beyond the commit point.
        """
        if self.done and self.done[0].start <= commit_point:
            raise ValueError(f"{self.done[0].start} is not beyond the commit point {commit_point}")
        head = f"{_RUNS} {self.topic_id or _NO_ID} {self.starts} {self.alone_until} "
        lengths = _lengths(self.done[:MAX_RUNS], commit_point)
        text = head + _pack(lengths)
        if len(text) <= limit:
            return text
        fits, too_many = 0, len(lengths) // 2
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            if len(head + _pack(lengths[: 2 * middle])) <= limit:
                fits = middle
            else:
                too_many = middle
        text = head + _pack(lengths[: 2 * fits])
        return text if len(text) <= limit else ""

    @classmethod
    def decode(cls, text: str, commit_point: int) -> Self:
        """What `encode` wrote, in this version of labkit or an earlier one; a text of anybody else says nothing."""
        try:
            version, *facts = text.split(" ")
            if version == _RUNS:
                topic_id, starts, alone_until, packed = facts
                done = tuple(_runs(_unpack(packed), commit_point))
                return cls(done, "" if topic_id == _NO_ID else topic_id, int(starts), int(alone_until))
            if version == _BITMAP:
                starts, alone_until, packed = facts
                numbers = (commit_point + 1 + bit for bit in _bits(packed))
                return cls(
                    tuple(merged(range(number, number + 1) for number in numbers)), "", int(starts), int(alone_until)
                )
        except (ValueError, binascii.Error, zlib.error):
            pass
        return cls()


class MetadataLimit:
    """How much metadata the broker takes with a commit, in bytes, as far as one worker knows: it may be set to less."""

    def __init__(self) -> None:
        self.bytes = MAX_METADATA_BYTES

    def commit(
        self,
        commit: Callable[[Mapping[TopicPartition, Position]], None],
        positions: Callable[[], Mapping[TopicPartition, Position]],
    ) -> Mapping[TopicPartition, Position]:
        """Commit the positions, which are made under this limit, and return them; raises what `commit` raises."""
        while True:
            made = positions()
            try:
                commit(made)
            except MetadataTooLarge as error:
                self.lower(made, error)
            else:
                return made

    def lower(self, refused: Mapping[TopicPartition, Position], error: MetadataTooLarge) -> None:
        """The broker has refused these; raises the error if there is nothing to leave out."""
        longest = max((len(position.metadata) for position in refused.values()), default=0)
        if not longest:
            raise error
        if self.bytes == MAX_METADATA_BYTES:
            log.warning(
                "The broker refuses %d bytes with a commit (`offset.metadata.max.bytes`). What is done beyond the "
                "commit point and does not fit into what it takes will be done again after a crash.",
                longest,
            )
        self.bytes = max(longest // 2, min(longest - 1, _BARE))


def is_of(position: Position, topic_id: str | None, end: int | None) -> bool:
    """Whether it is a commit for the topic of that id, which ends there; who does not say is believed if it can be.

    What lies beyond the end is of a partition that has lost it, as with a disk, and that part may be filled anew.
    """
    metadata = OffsetMetadata.decode(position.metadata, position.offset)
    reach = metadata.done[-1].stop if metadata.done else position.offset
    return metadata.topic_id in ("", topic_id) and (end is None or reach <= end)


def merged(runs: Iterable[range]) -> list[range]:
    """The same offsets as runs in order, none of which touches another."""
    found: list[range] = []
    for run in sorted(runs, key=lambda run: run.start):
        if found and run.start <= found[-1].stop:
            found[-1] = range(found[-1].start, max(found[-1].stop, run.stop))
        elif run:
            found.append(run)
    return found


def _lengths(done: Sequence[range], commit_point: int) -> list[int]:
    """How many offsets are not done, how many are, how many are not, and so on, from the commit point."""
    stops = [commit_point, *(run.stop for run in done)]
    return [length for stop, run in zip(stops, done, strict=False) for length in (run.start - stop, len(run))]


def _runs(lengths: Sequence[int], commit_point: int) -> Iterator[range]:
    """What `_lengths` was made of; raises ValueError if it cannot have been."""
    if len(lengths) % 2 or 0 in lengths:
        raise ValueError("these are no runs")
    at = commit_point
    for gap, length in zip(lengths[::2], lengths[1::2], strict=True):
        at += gap + length
        yield range(at - length, at)


def _pack(numbers: Sequence[int]) -> str:
    """Numbers as text: seven bits a byte, the lowest first, compressed."""
    packed = bytearray()
    for number in numbers:
        left = number
        while left > 0x7F:
            packed.append(left & 0x7F | 0x80)
            left >>= 7
        packed.append(left)
    return b64encode(zlib.compress(packed, 1)).decode()


def _unpack(text: str) -> list[int]:
    numbers: list[int] = []
    number = shift = 0
    for byte in _unzipped(text):
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    return numbers


def _bits(text: str) -> Iterator[int]:
    """The places of the bits that are set."""
    for place, byte in enumerate(_unzipped(text)):
        if byte:
            yield from (8 * place + bit for bit in range(8) if byte >> bit & 1)


def _unzipped(text: str) -> bytes:
    unzip = zlib.decompressobj()
    found = unzip.decompress(b64decode(text, validate=True), _MAX_UNPACKED)
    if not unzip.eof:
        raise ValueError("this is cut off, or too long")
    return found
