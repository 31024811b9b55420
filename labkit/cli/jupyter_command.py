"""`labkit jupyter`: the lab and JupyterLab in one command."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module on the application."""
    app.command()(jupyter)


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

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored in the background
    try:
        yield
    except KeyboardInterrupt:
        print("Stopped.")
