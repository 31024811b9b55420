"""The Typer application; each group of commands stands in a module of its own."""

from __future__ import annotations

import typer

from labkit.cli import api, bridge, celery, dead, demo, dispatch, jobs, jupyter, lab, notebooks, produce, topics, work

app = typer.Typer(
    name="labkit",
    help="Distributed task queues on the real thing: a Kafka lab, producers and workers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

lab.add_commands(app)
jupyter.add_commands(app)
notebooks.add_commands(app)
produce.add_commands(app)
work.add_commands(app)
bridge.add_commands(app)
celery.add_commands(app)
dispatch.add_commands(app)
demo.add_commands(app)
topics.add_commands(app)
jobs.add_commands(app)
dead.add_commands(app)
api.add_commands(app)
