"""The commands that send and work on tasks."""

from __future__ import annotations

import typer


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module on the application."""
