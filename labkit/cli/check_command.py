"""`labkit check`: the visible checks of a student's notebook, before it is handed in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


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
) -> None:
    """Run the visible checks of an assignment on your notebook, as the grader runs them.

    The status is 0 if all have passed. Questions of how code behaves are tried on the lab, so `labkit up` goes first.
    """
    from labkit.grading.notebook_check import check_notebook, find_notebook

    report = check_notebook(notebook or find_notebook(Path()), question or ())
    print(report)
    if not report.passed:
        sys.exit(1)
