"""Text from outside on a terminal, in a log or in a notebook: nothing in it that would be obeyed there.

A payload, a key, the name of a group or an error may hold whatever somebody has put there: ends of lines, sequences
that move a terminal's cursor, characters that turn the direction of the text, markup. It is shown as it is written.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text


class InLines(str):
    """A text that labkit tells in several lines, as a failure with its traceback: in a log their ends stay."""

    __slots__ = ()


def one_line(text: str) -> str:
    r"""The text with each character that cannot be seen written as an escape, as `\n` or `\x1b`; spaces stay."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def lines(text: str) -> str:
    """As `one_line`, but the ends of lines and tabulators stay: for a paragraph, or for what a program has said."""
    return "\n".join("\t".join(map(one_line, line.split("\t"))) for line in text.split("\n"))


def in_json(text: str) -> str:
    r"""A text that is JSON, with each character in it that cannot be seen written as `\u001b`; ends of lines stay."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else json.dumps(letter)[1:-1] for letter in text)


def cell(text: str) -> Text:
    """As `one_line`, for a table or a line of rich: brackets in it are no markup, and no number is coloured."""
    from rich.text import Text

    return Text(one_line(text))
