"""`labkit kafka TOOL …`: Kafka's own tools, on the lab."""

from __future__ import annotations

from typing import Annotated

import typer


def add_commands(app: typer.Typer) -> None:
    """Hang the command of this module on the application."""
    # what comes after the tool's name is the tool's, also --help
    app.command(context_settings={"allow_interspersed_args": False})(kafka)


def kafka(
    tool: Annotated[str | None, typer.Argument(help="Which; without one, they are listed.", show_default=False)] = None,
    args: Annotated[
        list[str] | None,
        typer.Argument(help="What the tool is told, also --help.", show_default=False),
    ] = None,
) -> None:
    """Run one of Kafka's own tools on the lab: topics is kafka-topics.sh, and so are the others.

    --bootstrap-server is added where you name none.
    """
    from labkit.lab.kafka_tools import KAFKA_TOOLS, become, find_tool

    if tool is None:
        for one in KAFKA_TOOLS:
            print(f"{one.name:<26}{one.does}")
        return
    from labkit.settings import load_settings

    become(find_tool(tool), args or [], load_settings())
