"""`labkit topics …`: list, create, describe, grow and delete topics, and show how far a group lags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.common import attached_topics, stop_on_signal

if TYPE_CHECKING:
    from rich.table import Table

    from labkit.taskqueue import Topics

#: How often the lag is looked up again, in seconds.
WATCH_INTERVAL = 0.5

Name = Annotated[str, typer.Argument(help="The topic.")]
Partitions = Annotated[int, typer.Option(min=1, help="How many partitions.")]

topics_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module on the application."""
    app.add_typer(topics_app, name="topics", help="List, create, describe, grow and delete topics.")


@topics_app.command("list")
def list_topics() -> None:
    """Name every topic."""
    with attached_topics() as topics:
        print("\n".join(topics.names()) or "There are no topics yet. `labkit produce` makes one.")


@topics_app.command()
def create(name: Name, partitions: Partitions = 2) -> None:
    """Create a topic."""
    with attached_topics() as topics:
        topics.create(name, partitions=partitions)
        print(f"{name} has {partitions} partitions.")


@topics_app.command()
def describe(
    name: Name,
    group: Annotated[str, typer.Option(help="Show the lag of this group.")] = "worker_group",
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it until Ctrl-C.")] = False,
) -> None:
    """Show a topic's partitions and how far a group is behind on each."""
    from rich.console import Console
    from rich.live import Live

    with attached_topics() as topics:
        if not watch:
            Console().print(_lag_table(topics, name, group))
            return
        with stop_on_signal() as stop, Live(_lag_table(topics, name, group), auto_refresh=False) as live:
            while not stop.wait(WATCH_INTERVAL):
                live.update(_lag_table(topics, name, group), refresh=True)


def _lag_table(topics: Topics, name: str, group: str) -> Table:
    from rich.table import Table

    lags = topics.lag(name, group=group)
    table = Table("partition", "end offset", f"committed by {group}", "lag", title=name, show_footer=True)
    for entry in lags:
        table.add_row(str(entry.partition), str(entry.end), str(entry.committed), str(entry.lag))
    table.columns[0].footer, table.columns[-1].footer = "all", str(sum(entry.lag for entry in lags))
    return table


@topics_app.command()
def grow(name: Name, partitions: Partitions) -> None:
    """Raise the number of partitions; records stay where they are."""
    with attached_topics() as topics:
        topics.grow(name, partitions=partitions)
        print(f"{name} has {partitions} partitions now. Keys may go to other partitions from here on.")


@topics_app.command()
def delete(name: Name, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete a topic with all its records."""
    with attached_topics() as topics:
        topics.get(name)
        if not yes:
            typer.confirm(f"Delete {name} with all its records?", abort=True)
        topics.delete(name)
        print(f"{name} is deleted.")
