"""A table that is readable in any terminal: where it does not fit, each row becomes a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.cli.paragraph import fold, fold_if_long
from labkit.plain_text import one_line

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table

#: How far the lines of a row are indented.
INDENT = "  "
#: What stands between two values of a row.
BETWEEN = "  "
#: No terminal is as wide, in columns.
_ANY_WIDTH = 100_000


class FittingTable:
    """Rows of texts under headings, the first of which names the row; those in `right` are set to the right.

    Texts are shown as they are, brackets are no markup. Values are never folded within, unless one is longer than a
    line.
    """

    def __init__(self, *headings: str, title: str = "", right: tuple[str, ...] = ()) -> None:
        self._headings = tuple(map(one_line, headings))
        self._title = one_line(title)
        self._right = tuple(map(one_line, right))
        self.rows: list[tuple[str, ...]] = []

    def add_row(self, *cells: str) -> None:
        """One more row, with a text for each heading."""
        self.rows.append(tuple(map(one_line, cells)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, if it fits."""
        from rich.text import Text

        table = self._table()
        wide = options.update(max_width=_ANY_WIDTH)
        if console.measure(table, options=wide).maximum <= options.max_width:
            yield table
            return
        if self._title:
            yield Text(self._title, style="italic")
        for name, *cells in self.rows:
            yield Text(f"{self._headings[0]} {name}" if name.isdigit() else name, style="bold")
            values = [f"{heading} {cell}" for heading, cell in zip(self._headings[1:], cells, strict=True) if cell]
            for line in fold(values, options.max_width - len(INDENT), between=BETWEEN):
                for part in fold_if_long(line, options.max_width - 2 * len(INDENT)):
                    yield Text(f"{INDENT}{part}")

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(self._title) if self._title else None, box=None, padding=(0, 2, 0, 0), pad_edge=False)
        table.header_style, table.title_justify = "bold", "left"
        for heading in self._headings:
            table.add_column(Text(heading), justify="right" if heading in self._right else "left", no_wrap=True)
        for cells in self.rows:
            table.add_row(*map(Text, cells))
        return table
