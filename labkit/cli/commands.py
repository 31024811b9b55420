"""The Typer application; each group of commands stands in a module of its own."""

from __future__ import annotations

import typer

from labkit.cli import (
    api_command,
    celery_commands,
    check_command,
    dispatch_commands,
    grade_commands,
    job_commands,
    lab_commands,
    notebook_commands,
    produce_command,
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
)

for module in (
    lab_commands,
    notebook_commands,
    produce_command,
    work_command,
    celery_commands,
    dispatch_commands,
    topic_commands,
    job_commands,
    api_command,
    check_command,
    grade_commands,
):
    module.add_commands(app)

check_all(app)
