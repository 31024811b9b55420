"""`labkit groups …`: the groups that read topics, how far they are, and from where they go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.common import attached_topics, confirm
from labkit.cli.option_types import group_name, topic_name
from labkit.errors import LabkitError
from labkit.plain_text import one_line

if TYPE_CHECKING:
    from labkit.taskqueue.groups.groups import GroupDescription, Groups, OffsetChange

Name = Annotated[str, typer.Argument(metavar="GROUP", help="The group.", callback=group_name)]

groups_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module on the application."""
    app.add_typer(groups_app, name="groups", help="List, describe, reset and delete the groups that read topics.")


@groups_app.command("list")
def list_groups() -> None:
    """List consumer groups and share groups.

    For each its kind and its state, as Kafka calls them, its members, the topics that it reads or has read, and how
    many records are left to it.
    """
    with _groups() as groups:
        found = groups.all()
    if not found:
        print("There are no groups yet. `labkit work` makes one.")
        return
    rows = [
        (
            group.name,
            group.kind,
            group.state,
            "?" if group.unreadable else str(len(group.members)),
            "?" if group.unreadable else ", ".join(group.topics),
            "?" if group.unreadable else str(group.lag),
        )
        for group in found
    ]
    _print_table(("group", "kind", "state", "members", "topics", "lag"), rows)
    unreadable = [group for group in found if group.unreadable]
    if unreadable:
        first = f"{one_line(unreadable[0].name)!r}: {one_line(unreadable[0].unreadable)}"
        raise LabkitError(f"{len(unreadable)} of {len(found)} groups could not be read. {first}")


@groups_app.command()
def describe(group: Name) -> None:
    """Show how far a group is on each partition, and which of its members reads it."""
    with _groups() as groups:
        found = groups.describe(group)
    members = "1 member" if len(found.members) == 1 else f"{len(found.members)} members"
    print(f"{one_line(found.name)}: kind {found.kind}, state {found.state}, {members}, lag {found.lag}")
    rows = [
        (
            one.topic,
            str(one.partition),
            _or_none(one.committed),
            str(one.end),
            str(one.lag),
            ", ".join(one.members) or "-",
        )
        for one in found.partitions
    ]
    if rows:
        _print_table(("topic", "partition", "committed", "end", "lag", "member"), rows)
    for line in _beside_the_table(found):
        print(one_line(line))


@groups_app.command()
def reset(
    group: Name,
    to: Annotated[
        str,
        typer.Option(help="earliest, latest, an offset, or a time as 2026-11-30T20:15 (here, unless it says where)."),
    ],
    topic: Annotated[
        str | None,
        typer.Option(help="On this topic alone.", callback=topic_name, show_default="all that it has read"),
    ] = None,
) -> None:
    """Let a group without members go on from elsewhere.

    An offset before the beginning or beyond the end is taken for that. At a time, it is the first record of that time
    or later.
    """
    from labkit.taskqueue.start_point import StartPoint

    start = StartPoint.parse(to, option="to")
    with _groups() as groups:
        changes = groups.reset(group, start, topic=topic)
    _print_table(("topic", "partition", "before", "now"), list(map(_change, changes)))


@groups_app.command()
def delete(group: Name, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete a group without members: how far it was is forgotten, and what it has read stays."""
    with _groups() as groups:
        groups.describe(group)
        if not yes:
            confirm(f"Forget how far {one_line(group)} is?")
        groups.delete(group)
    print(f"{one_line(group)} is deleted.")


@contextmanager
def _groups() -> Iterator[Groups]:
    from labkit.taskqueue.groups.groups import Groups

    with attached_topics() as topics, Groups(topics) as groups:
        yield groups


def _beside_the_table(group: GroupDescription) -> Iterator[str]:
    if not group.partitions:
        yield "It has committed nothing on any topic that is there."
    busy = {name for one in group.partitions for name in one.members}
    idle = Counter(name for name in group.members if name not in busy)
    if idle:
        yield f"Without a partition: {', '.join(idle.elements())}."
    if group.gone:
        yield f"It has committed on topics that are gone: {', '.join(group.gone)}."


def _change(one: OffsetChange) -> tuple[str, ...]:
    return one.topic, str(one.partition), _or_none(one.before), str(one.now)


def _or_none(offset: int | None) -> str:
    return "-" if offset is None else str(offset)


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from labkit.cli.fitting_table import FittingTable
    from labkit.cli.paragraph import console

    table = FittingTable(*columns)
    for row in rows:
        table.add_row(*row)
    console().print(table, soft_wrap=True)
