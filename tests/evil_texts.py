"""Texts that others may send, and which no terminal, log or notebook is to obey."""

from __future__ import annotations

#: An end of a line, a sequence that clears the screen, one that sets the title, the same in one character, a
#: character that turns the direction of the text, ends of lines of Unicode, a bell with a deletion, rich's markup.
EVIL = (
    "a\nlabkit: all is well",
    "a\r\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\u202egnp.exe\u2066",
    "a\u2028b\u2029c\x85d",
    "\x07\x08\x7f\x00",
    "[red]not bold[/red] [link=x]",
)


def is_plain(text: str) -> bool:
    """Whether all in it can be seen, apart from ends of lines."""
    return all(letter.isprintable() or letter == "\n" for letter in text)
