"""`labkit check`: the visible checks of a student's notebook, before it is handed in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.errors import LabkitError
from labkit.plain_text import lines
from labkit.plugin import import_from_here

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The kinds of files that a figure may be saved as.
_PICTURES = (".png", ".svg", ".pdf")


def add_commands(app: typer.Typer) -> None:
    """Hang the command of this module on the application."""
    app.command()(check)


def check(
    notebook: Annotated[
        Path | None,
        typer.Argument(help="Your notebook; by default the one in this folder.", show_default=False),
    ] = None,
    question: Annotated[
        list[str] | None, typer.Option(help="Only this question, such as q2; may be given several times.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Draw who had which task when into this file (.png, .svg, .pdf).")
    ] = None,
) -> None:
    """Run the visible checks of an assignment on your notebook, as the grader runs them.

    The status is 0 if all have passed. Questions of how code behaves are tried on the lab, so `labkit up` goes first.
    """
    from labkit.grading.notebook_check import check_notebook, find_notebook

    if figure is not None:
        _must_be_picture(figure)
    import_from_here()  # a question may have a scenario of one's own
    report = check_notebook(notebook or find_notebook(Path()), question or ())
    print(lines(str(report)))
    if figure is not None:
        _save(report.figures(), figure)
    if not report.passed:
        sys.exit(1)


def _must_be_picture(file: Path) -> None:
    """Before the checks are run: they take seconds."""
    if file.suffix.lower() not in _PICTURES:
        raise LabkitError(f"{file} cannot be drawn: a figure is saved as one of {', '.join(_PICTURES)}.")
    if not file.parent.is_dir():
        raise LabkitError(f"{file} cannot be drawn: there is no folder {file.parent}.")


def _save(figures: dict[str, Figure], file: Path) -> None:
    """Save the figures: under the file's name if it is one, else under that with the question's name."""
    if not figures:
        print("\nThere is no figure: no worker had a task in hand.")
    for name, figure in figures.items():
        own = file if len(figures) == 1 else file.with_stem(f"{file.stem}-{name}")
        figure.savefig(own)
        print(f"\nFigure: {own}")
