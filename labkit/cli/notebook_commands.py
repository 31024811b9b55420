"""`labkit jupyter`, the lab and JupyterLab in one command, and `labkit notebooks`, all of them without a browser."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from labkit.process.signals import ending_signals


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module on the application."""
    app.command()(jupyter)
    app.command()(notebooks)


def jupyter(
    folder: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="The folder with the notebooks.", show_default=False)
    ] = Path(),
) -> None:
    """Start Kafka, Redis and JupyterLab, and print the address to open. Ctrl-C stops what was started.

    A lab that runs already, by `labkit up`, is used and left running.
    """
    from labkit.lab import open_lab
    from labkit.lab.jupyter import Jupyter, start_page
    from labkit.settings import load_settings

    settings = load_settings()
    folder = folder.resolve()
    print("Starting Kafka, Redis and JupyterLab …", flush=True)
    with (
        _ended_by_signals(),
        Jupyter(folder, start_page=start_page(folder), settings=settings) as server,
        open_lab(settings=settings) as lab,
    ):
        address = server.wait_until_ready(settings.start_timeout)
        print(f"Kafka:      {lab.bootstrap_servers}")
        print(f"JupyterLab: {address}")
        how = "It opens in your browser" if server.open_in_browser() else "Open that address in a browser"
        print(f"{how}. Ctrl-C stops everything that was started here.", flush=True)
        server.wait()


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Ctrl-C is the usual way to end; SIGTERM and SIGHUP clean up too, and give the status that shells expect."""

    def end(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    for number in ending_signals():
        signal.signal(number, end)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored in the background
    try:
        yield
    except KeyboardInterrupt:
        print("Stopped.")


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
