"""Text from outside on a terminal."""

from __future__ import annotations

import pytest

from labkit.cli.plain_text import one_line


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
