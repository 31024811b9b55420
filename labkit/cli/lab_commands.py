"""The commands about the running lab: up, down, status, logs, reset and doctor."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.cli.common import confirm
from labkit.errors import LabkitError
from labkit.plain_text import cell, lines

if TYPE_CHECKING:
    from labkit.lab.folders import LabFolders
    from labkit.lab.lab_status import LabStatus
    from labkit.settings import Settings

Name = Annotated[str | None, typer.Option("--name", help="Which lab; by default LABKIT_LAB.", show_default=False)]

#: How many lines of a log `labkit logs` shows.
LINES = 100


def add_commands(app: typer.Typer) -> None:
    """Hang the commands of this module on the application."""
    for command in (up, down, status, logs, reset, doctor):
        app.command()(command)


def up(
    name: Name = None,
    brokers: Annotated[
        int | None,
        typer.Option(
            help="How many brokers: 1, 3 or 5. With 3, each record is held three times and one broker can be killed. "
            "By default as many as the lab has had so far, or 1.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            help="Kafka's port, and no other; by default LABKIT_PORT, or a free one. More brokers take the next ones.",
            min=1024,
            max=65535,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Start the lab: Kafka and Redis. It goes on when the terminal is closed, until `labkit down`.

    Where a broker of several has ended, it is started again.
    """
    begin = time.monotonic()
    settings, name, folders = _lab(name)
    from labkit import logs as logging_config
    from labkit.lab import lifecycle
    from labkit.lab.state import redis_url

    folders.make()
    logging_config.configure("lab", settings, folders.logs)
    if settings.bootstrap_servers is not None:
        lifecycle.check_external(settings)
    if settings.bootstrap_servers is not None and settings.redis_url is not None:
        print(f"Nothing to start: Kafka at {settings.bootstrap_servers} is used, and the Redis of LABKIT_REDIS_URL.")
        return
    state, started = lifecycle.up(name, folders, settings, brokers=brokers, port=port)
    if started:
        print(f"The lab {name!r} is ready after {time.monotonic() - begin:.1f} s.")
    else:
        print(f"The lab {name!r} is running already.")
    print(f"Kafka  {settings.bootstrap_servers or state.bootstrap_servers}")
    print(f"Redis  {settings.redis_url or redis_url(state)}")
    if name != settings.lab:
        print(f"Commands without --name reach it by a setting: LABKIT_LAB={name} labkit topics list")


def down(name: Name = None) -> None:
    """Stop the lab. Its data stays."""
    _, name, folders = _lab(name)
    from labkit.cli.paragraph import say
    from labkit.lab import lifecycle

    if lifecycle.stop(name, folders):
        say(for_this_lab(f"The lab {name!r} is stopped. Its data stays; `labkit up` goes on with it."))
    else:
        print(f"The lab {name!r} is not running.")


def status(
    name: Name = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: sizes in bytes, times in seconds.")] = False,
) -> None:
    """Show the servers, their addresses and memory, the topics and the caches. Exit status 1 if the lab is down."""
    settings, name, _ = _lab(name)
    from labkit.lab import lab_status as lab_status

    found = lab_status.look(name, settings)
    if as_json:
        print(json.dumps(lab_status.as_json(found), indent=2))
    else:
        _show(found)
    if not found.running and not (settings.bootstrap_servers and settings.redis_url):
        sys.exit(1)


class ServerName(StrEnum):
    """The servers that have logs."""

    KAFKA = "kafka"
    REDIS = "redis"


def logs(
    name: Name = None,
    server: Annotated[ServerName, typer.Option(help="Whose log.")] = ServerName.KAFKA,
    broker: Annotated[
        int | None, typer.Option(help="Which broker's, of several.", min=1, max=5, show_default="1")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Show the last lines of what a server said."""
    if broker is not None and server is not ServerName.KAFKA:
        raise LabkitError(f"There is one {server.value} only, so --broker does nothing: leave it out.")
    _, name, folders = _lab(name)
    from labkit.lab import server_logs

    read = server_logs.follow if follow else server_logs.last_lines
    for line in read(folders, server, LINES, broker=broker or 1):
        print(lines(line), flush=follow)


def reset(
    name: Name = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Stop the lab and delete all that it stores: topics, records, offsets, Redis's keys, logs."""
    _, name, folders = _lab(name)
    from labkit.lab import lifecycle

    if not folders.root.exists():
        print(f"The lab {name!r} stores nothing.")
        return
    if not yes:
        confirm(f"Delete all topics, records and keys of the lab {name!r}?")
    lifecycle.reset(name, folders)
    print(f"The lab {name!r} is stopped and empty.")


def doctor() -> None:
    """Check every prerequisite; exit status 1 if something must be mended."""
    from rich.table import Table
    from rich.text import Text

    from labkit.cli.paragraph import console
    from labkit.lab.doctor import Assessment, examine
    from labkit.settings import load_settings

    table = Table(box=None, show_header=False, pad_edge=False)
    colours = {Assessment.GOOD: "green", Assessment.NOTE: "yellow", Assessment.BAD: "red"}
    findings = list(examine(load_settings()))
    for finding in findings:
        colour = colours[finding.verdict]
        table.add_row(
            f"[{colour}]{finding.verdict.value}[/]", cell(finding.what), Text(lines(finding.says), overflow="fold")
        )
    console().print(table)
    bad = sum(finding.verdict is Assessment.BAD for finding in findings)
    if bad:
        sys.exit(1)


_named: list[str] = []


def for_this_lab(words: str) -> str:
    """The words, in which each command says which lab it is for: that of this command, if it is not the usual one."""
    from labkit.lab_hints import USUAL, with_name
    from labkit.settings import load_settings

    name = USUAL
    with suppress(LabkitError):  # what is wrong with the settings is said in these words
        name = _named[-1] if _named else load_settings().lab
    return with_name(words, name)


def _lab(name: str | None) -> tuple[Settings, str, LabFolders]:
    from labkit.lab.folders import named_lab
    from labkit.settings import load_settings

    settings = load_settings()
    name = name or settings.lab
    _named.append(name)
    folders = named_lab(settings, name)
    found = next(one for one in (folders.root, *folders.root.parents) if one.exists())
    if not found.is_dir():  # what is below it would look as if it were not there
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(found))
    return settings, name, folders


def _show(found: LabStatus) -> None:
    from labkit.cli.fitting_table import FittingTable
    from labkit.cli.paragraph import console, say

    say(for_this_lab(_headline(found)))
    if found.servers:
        table = FittingTable("server", "version", "pid", "memory", "address", right=("pid", "memory"))
        for server in found.servers:
            pid = str(server.pid) if server.pid else "-" if server.external else "ended"
            memory = f"{server.memory / 1e6:.0f} MB" if server.memory else "-"
            table.add_row(server.name, server.version, pid, memory, server.address)
        console().print(table, soft_wrap=True)
    for fact in _facts(found):
        say(fact)


def _headline(found: LabStatus) -> str:
    if not found.running:
        return f"The lab {found.name!r} is not running. {found.problem or 'Start it with `labkit up`.'}"
    owner = "" if found.owner is None else f" It ends with the process {found.owner}, which has started it."
    problem = "" if found.problem is None else f" {found.problem}"
    return f"The lab {found.name!r} has been running for {_duration(found.uptime or 0)}.{owner}{problem}"


def _facts(found: LabStatus) -> Iterator[str]:
    if found.running and found.topics is None:
        yield "topics  unknown: Kafka does not answer"
    elif found.topics is not None:
        names = ", ".join(f"{name} ({count})" for name, count in found.topics.items())
        yield f"topics  {len(found.topics)}{': ' if names else ''}{names}"
    cache = found.cache
    jars = f"{cache.jars} of {cache.jars_wanted} jars, " if cache.jars_wanted else ""
    template = "ready" if cache.template else "missing"
    yield f"cache   {jars}template {template}, AOT cache {cache.aot}, {cache.size / 1e6:.0f} MB in {cache.folder}"
    yield f"data    {found.data_size / 1e6:.1f} MB in {found.data_folder}"


def _duration(seconds: float) -> str:
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if minutes < 2:
        return f"{seconds:.0f} s"
    if hours < 2:
        return f"{minutes:.0f} min"
    return f"{hours:.0f} h" if days < 2 else f"{days:.0f} days"
