"""Text from outside on a terminal: one line, and nothing in it that the terminal would obey."""

from __future__ import annotations


def one_line(text: str) -> str:
    r"""The text with each character that cannot be seen written as an escape, as `\n` or `\x1b`; spaces stay."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )
