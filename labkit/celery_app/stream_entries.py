"""The entries of a stream in Redis, in which there may be some of another version, or of anybody's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from msgspec import DecodeError

from labkit.logs.safe_logger import SafeLogger

T = TypeVar("T")

#: An entry as redis-py gives it: its id and its fields.
Entry = tuple[bytes, Mapping[bytes, bytes]]


class StreamEntries:
    """Reads what stands in one field of each entry; what cannot be read is passed over, and said once."""

    def __init__(self, key: str, field: bytes, log: SafeLogger) -> None:
        self._key = key
        self._field = field
        self._log = log
        self._is_said = False

    def texts(self, entries: Iterable[Entry]) -> Iterator[bytes]:
        """The texts in the field."""
        for entry_id, fields in entries:
            text = fields.get(self._field)
            if text is None:
                self._say(entry_id.decode(), f"it has no field {self._field.decode()}")
            else:
                yield text

    def values(self, texts: Iterable[bytes], read: Callable[[bytes], T]) -> Iterator[T]:
        """What the texts say."""
        for text in texts:
            try:
                yield read(text)
            except (DecodeError, UnicodeDecodeError) as error:
                self._say(repr(text[:80]), str(error))

    def _say(self, which: str, why: str) -> None:
        if not self._is_said:
            self._is_said = True
            self._log.warning(
                "the entry %s of the stream %s is none of labkit's: %s. It is passed over, and so are others like it.",
                *(which, self._key, why),
            )
