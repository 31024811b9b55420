"""The Typer application; each group of commands stands in a module of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli import (
    api_command,
    celery_commands,
    check_command,
    demo_commands,
    dispatch_commands,
    grade_commands,
    group_commands,
    job_commands,
    kafka_command,
    lab_commands,
    notebook_commands,
    produce_command,
    record_command,
    topic_commands,
    work_command,
)
from labkit.cli.checked_command import check_all

app = typer.Typer(
    name="labkit",
    help="Distributed task queues on the real thing: a Kafka lab, producers and workers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from labkit import __version__

        print(f"labkit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


for module in (
    lab_commands,
    notebook_commands,
    produce_command,
    work_command,
    celery_commands,
    dispatch_commands,
    demo_commands,
    topic_commands,
    kafka_command,
    record_command,
    group_commands,
    job_commands,
    api_command,
    check_command,
    grade_commands,
):
    module.add_commands(app)

check_all(app)
