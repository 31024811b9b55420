"""Every command of labkit, as typer knows it: a new one is in the tests over all of them by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer.main

from labkit.cli.commands import app


def _commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "commands"):
        yield words, command
        return
    for name, one in command.commands.items():
        yield from _commands(one, (*words, name))


#: By the words that are typed for it.
COMMANDS = dict(_commands(typer.main.get_command(app)))
