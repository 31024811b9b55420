"""`labkit notebooks`: the whole sequence without a browser."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module on the application."""
    app.command()(notebooks)


def notebooks(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            exists=True, dir_okay=False, help="Notebooks; by default all in `notebooks`.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the results go; by default a new folder under `results`.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Copy the pictures of cells tagged `image:NAME` to NAME.png in this folder.")
    ] = None,
) -> None:
    """Run the notebooks; leave executed copies, records and figures in a folder."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from labkit.experiments.notebooks import copy_images, count_code_cells, find_notebooks, run_notebook
    from labkit.lab import open_lab
    from labkit.settings import load_settings

    settings = load_settings()
    sources = files or find_notebooks(Path("notebooks"))
    results = out or settings.results_dir / f"{datetime.now():%Y-%m-%d-%H%M%S}"  # noqa: DTZ005 (the student's own clock)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with open_lab(settings=settings), Progress(*columns) as progress:
        bar = progress.add_task("", total=count_code_cells(sources))
        for source in sources:
            progress.update(bar, description=source.stem)
            run = run_notebook(source, results, on_cell=lambda: progress.advance(bar))
            if images is not None:
                copy_images(run, images)
    print(f"Executed copies, records and figures: {results}")
