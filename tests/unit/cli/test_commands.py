"""What holds for every command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import typer
from typer.testing import CliRunner

import labkit
from labkit.cli.commands import app


def names_of(command: click.Command, *words: str) -> Iterator[tuple[str, ...]]:
    yield words
    for name, below in getattr(command, "commands", {}).items():
        yield from names_of(below, *words, name)


def test_each_says_by_either_option_what_it_is_for():
    for words in names_of(typer.main.get_command(app)):
        short, long = (CliRunner().invoke(app, [*words, option]) for option in ("-h", "--help"))
        assert short.exit_code == long.exit_code == 0, words
        assert short.output == long.output
        assert f"Usage: {' '.join(('labkit', *words))} " in short.output
        assert "-h, --help" in short.output


def test_the_version_is_said_and_looked_up_only_for_that():
    said = CliRunner().invoke(app, ["--version"])
    assert (said.exit_code, said.output) == (0, f"labkit {labkit.__version__}\n")
    code = (
        "import sys; from labkit.cli.commands import app; app(['-h'], standalone_mode=False); "
        "print('labkit.version' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")
