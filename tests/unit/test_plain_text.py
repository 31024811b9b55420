"""Text from outside on a terminal."""

from __future__ import annotations

import pytest

from labkit.plain_text import cell, lines, one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with spaces: čau 漢字 😀", "plain, with spaces: čau 漢字 😀"),
        ("a\nb\r\tc\x1b[2J\x07\x7f\x9b", r"a\nb\r\tc\x1b[2J\x07\x7f\x9b"),
        ("\u202egnp.exe \u2028 \u00a0 \ud800", r"\u202egnp.exe \u2028 \xa0 \ud800"),
        ("", ""),
    ],
)
def test_it_is_one_line_that_no_terminal_obeys(text, shown):
    assert one_line(text) == shown


def test_a_paragraph_keeps_the_ends_of_its_lines():
    assert lines("a\tb\x1b[2J\n\u202ec\r") == "a\tb\\x1b[2J\n\\u202ec\\r"


def test_brackets_in_a_cell_are_no_markup():
    assert cell("[red]a\n[/red]").plain == "[red]a\\n[/red]"
