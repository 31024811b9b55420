"""A view at the foot of the terminal while a command runs, under all that is said meanwhile.

Without a terminal, or on one that cannot move its cursor, there is a line now and then, and the last view whole.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Self, cast

from labkit.cli.paragraph import console as printing_console
from labkit.cli.terminal_lines import TerminalFile, TerminalLines
from labkit.plain_text import one_line
from labkit.resource import Resource, end_all

if TYPE_CHECKING:
    from typing import IO

    from rich.console import RenderableType
    from rich.text import Text

#: How often a view is drawn again, in seconds; and how often there is a line where it cannot be.
REDRAW_INTERVAL, LINE_INTERVAL = 0.5, 5.0
#: The size of a terminal that does not say it: columns and rows.
USUAL_SIZE = (80, 24)


class LiveView(Resource):
    """A context manager: inside, `show` draws; all else that is written to the terminal stands above, line by line.

    It begins before what may print or log, and ends after it. `clock` gives seconds from any moment.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said_at = clock()
        self._screen: _Screen | None = None

    def start(self) -> Self:
        """Nothing is drawn yet."""
        from rich.console import Console

        if sys.stdout.isatty() and not Console().is_dumb_terminal:
            self._screen = _Screen()
        return self

    def show(self, frame: RenderableType, words: str) -> None:
        """Draw the frame; or say the words on a line, if it is time to."""
        if self._screen is not None:
            self._screen.draw(frame)
        elif self._clock() - self._said_at >= LINE_INTERVAL:
            self._said_at = self._clock()
            with suppress(OSError):  # the summary shows it; what is at work goes on until then
                print(words, flush=True)

    def end(self, frame: RenderableType) -> None:
        """Draw what stays."""
        if self._screen is not None:
            self._screen.draw(frame)
        else:
            printing_console().print(frame, soft_wrap=True)
            sys.stdout.flush()

    def close(self) -> None:
        """From now on, what is printed comes after the view."""
        if self._screen is not None:
            self._screen.close()
            self._screen = None


class _Screen:
    """The terminal: a frame at its foot, and lines above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._file = TerminalFile(sys.stdout.fileno())
        self._lock = threading.Lock()
        self._console = Console(file=cast("IO[str]", self._file), force_terminal=True, highlight=False, soft_wrap=False)
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._lines = TerminalLines(self._put)
        self._live.start()
        self._lines.start()

    def draw(self, frame: RenderableType) -> None:
        """Put it in the place of the last one."""
        with self._lock:
            self._measure()
            self._live.update(frame, refresh=True)

    def close(self) -> None:
        """Leave the last frame, whole."""
        end_all(self._lines.close, self._leave_frame)

    def _leave_frame(self) -> None:
        with self._lock:
            end_all(self._measure, self._live.stop, self._file.close)

    def _put(self, line: bytes) -> None:
        with self._lock:
            self._measure()
            self._console.print(_shown(line), soft_wrap=True)

    def _measure(self) -> None:
        """A terminal may change its size; rich would ask the descriptors that lead elsewhere."""
        from rich.console import ConsoleDimensions

        size = USUAL_SIZE
        with suppress(OSError):
            size = (*os.get_terminal_size(self._file.fileno()),)
        self._console.size = ConsoleDimensions(
            *(is_said or usual for is_said, usual in zip(size, USUAL_SIZE, strict=True))
        )


def _shown(line: bytes) -> Text:
    """The line with its colours, and without all else that a terminal would obey."""
    from rich.text import Text

    text = Text.from_ansi(line.decode(errors="replace").rstrip("\r"))
    return text if text.plain.replace("\t", "").isprintable() else Text(one_line(text.plain))


class Rates:
    """How fast counts grow, between two looks. `clock` gives seconds from any moment."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[float, int]] = {}

    def per_second(self, name: str, count: int) -> float:
        """Since the last call for this name; 0 at the first."""
        now = self._clock()
        then, before = self._seen.get(name, (now, count))
        self._seen[name] = now, count
        return (count - before) / (now - then) if now > then else 0.0
