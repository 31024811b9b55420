"""Standard output and error in whole lines: what threads print at once is not mixed up within a line."""

from __future__ import annotations

import sys
import threading
from typing import Any, TextIO, cast


class LineStream:
    """A text stream that writes a line when it is whole, each thread's by itself. All else is its `stream`'s."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._own = threading.local()

    def write(self, text: str) -> int:
        """Keep what is no whole line yet."""
        whole, end, rest = (getattr(self._own, "rest", "") + text).rpartition("\n")
        self._own.rest = rest
        if end:
            self._stream.write(f"{whole}\n")
            self._stream.flush()
        return len(text)

    def flush(self) -> None:
        """Write what this thread has begun."""
        rest, self._own.rest = getattr(self._own, "rest", ""), ""
        if rest:
            self._stream.write(rest)
        self._stream.flush()

    def writelines(self, lines: Any) -> None:
        """Write them one after the other."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def print_line_by_line() -> None:
    """From now on this process prints so, and the processes that it forks."""
    sys.stdout, sys.stderr = (cast("TextIO", LineStream(stream)) for stream in (sys.stdout, sys.stderr))
