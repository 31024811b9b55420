"""Text and tables in a terminal of any width."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from labkit.cli.fitting_table import FittingTable
from labkit.cli.paragraph import Paragraph


def drawn(what, width):
    console = Console(width=width, file=StringIO(), record=True)
    console.print(what)
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_command_stays_on_one_line():
    lines = drawn(Paragraph("There are three of them, and `labkit dead list --topic t` lists them."), 40)
    assert lines == ["There are three of them, and", "`labkit dead list --topic t` lists them."]


def test_what_is_longer_than_a_line_has_lines_of_its_own():
    assert drawn(Paragraph("at /a/very/long/path it is"), 12) == ["at", "/a/very/long", "/path", "it is"]


def test_a_table_that_does_not_fit_becomes_lines():
    table = FittingTable("id", "attempts", "error", title="letters", right=("attempts",))
    table.add_row("t/0/1", "3", "ValueError: [bold] is no markup")
    table.add_row("2", "1", "")
    assert drawn(table, 80) == [
        "letters",
        "id     attempts  error",
        "t/0/1         3  ValueError: [bold] is no markup",
        "2             1",
    ]
    assert drawn(table, 24) == [
        "letters",
        "t/0/1",
        "  attempts 3",
        "  error ValueError:",
        "    [bold] is no markup",
        "id 2",
        "  attempts 1",
    ]


@pytest.mark.parametrize("width", range(1, 60))
def test_no_line_is_wider_than_the_terminal(width):
    table = FittingTable("worker", "partitions", "done")
    table.add_row("worker-1-2", "0-3, 7", "12")
    assert all(len(line) <= width for line in drawn(table, width))
