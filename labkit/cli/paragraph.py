"""Text that is folded between words to the width of a terminal, and never within a command to copy."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from labkit.plain_text import lines

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

#: How wide a line may be where nothing says it, in columns: output that goes into a file or a pipe.
WIDTH = 10_000
#: How far what continues a line is indented, in columns.
INDENT = 2
#: What stays on one line: a command between backticks with what clings to it, or a word.
_WHOLE = re.compile(r"[^\s`]*`[^`]*`[^\s`]*|\S+(?: {2,}\S+)*")


class Paragraph:
    """A sentence or more as rich draws it."""

    def __init__(self, text: str) -> None:
        self._text = lines(text)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Its lines. What is longer than a line has lines of its own, and is folded where rich has to."""
        from rich.text import Text

        if options.max_width >= WIDTH:
            yield Text(self._text, no_wrap=True, overflow="ignore")
            return
        for line in fold(_WHOLE.findall(self._text), options.max_width):
            yield Text(line)


def fold(words: Sequence[str], width: int, *, between: str = " ") -> Iterator[str]:
    """The words in lines of so many columns at most; one that is longer has a line to itself."""
    from rich.cells import cell_len

    line = ""
    for word in words:
        if line and cell_len(line) + len(between) + cell_len(word) > width:
            yield line
            line = word
        else:
            line = f"{line}{between}{word}" if line else word
    if line:
        yield line


def fold_if_long(line: str, width: int) -> Iterator[str]:
    """The line; if it is longer, its words in several, of which the further ones are indented."""
    from rich.cells import cell_len

    if cell_len(line) <= width + INDENT:
        yield line
        return
    for number, part in enumerate(fold(_WHOLE.findall(line), width)):
        yield f"{' ' * INDENT if number else ''}{part}"


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a paragraph to standard output or to this stream: folded in a terminal, else on one line."""
    to, text = stream or sys.stdout, lines(text)
    print("\n".join(fold(_WHOLE.findall(text), width_of(to))) if to.isatty() else text, file=to, flush=True)


def width_of(stream: TextIO) -> int:
    """How many columns the terminal at this stream has; `WIDTH` where there is none, or it does not say so."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or WIDTH
    except (OSError, ValueError):
        return WIDTH


def console() -> Console:
    """For tables that are printed once: as wide as the terminal, or wide enough."""
    from rich.console import Console

    return Console(highlight=False, width=width_of(sys.stdout))
