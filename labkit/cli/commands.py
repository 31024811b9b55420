"""The Typer application; each group of commands stands in a module of its own."""

from __future__ import annotations

import typer

from labkit.cli import (
    api_command,
    bridge_command,
    celery_commands,
    dead_commands,
    demo_commands,
    dispatch_command,
    job_commands,
    jupyter_command,
    lab_commands,
    notebook_command,
    produce_command,
    topic_commands,
    work_command,
)

app = typer.Typer(
    name="labkit",
    help="Distributed task queues on the real thing: a Kafka lab, producers and workers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

lab_commands.add_commands(app)
jupyter_command.add_commands(app)
notebook_command.add_commands(app)
produce_command.add_commands(app)
work_command.add_commands(app)
bridge_command.add_commands(app)
celery_commands.add_commands(app)
dispatch_command.add_commands(app)
demo_commands.add_commands(app)
topic_commands.add_commands(app)
job_commands.add_commands(app)
dead_commands.add_commands(app)
api_command.add_commands(app)
