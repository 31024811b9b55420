"""What no option of any command can mean: checked for all of them, also for those that are still to be written.

An option has a smallest and a largest value of its own where that is sensible (`labkit.cli.option_types`). Here is what
holds for each: a number is finite and fits into 64 bits, a text is not empty and has no control characters, and `~` is
the home folder also behind a `=`, where no shell has put it in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

#: What the integers of databases, messages and protocols hold.
SMALLEST, LARGEST = -(2**63), 2**63 - 1


class CheckedCommand(TyperCommand):
    """A command whose options and arguments are checked before it runs. Texts in a list (messages) may be empty."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer does, and then the checks; raises `typer.BadParameter`."""
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        for param in self.params:
            may_be_any = param.param_type_name == "argument" and param.nargs == -1
            for text in () if may_be_any else _texts(given.get(param.name or "")):
                _check(_fault_of_text(text), ctx, param)
        rest: list[str] = super().parse_args(ctx, args)
        for param in self.params:
            value = ctx.params.get(param.name)
            for number in _several(value):
                _check(_fault_of_number(number), ctx, param)
            if isinstance(value, Path):
                ctx.params[param.name] = _at_home(value, ctx, param)
            elif isinstance(value, list):
                ctx.params[param.name] = [_at_home(one, ctx, param) if isinstance(one, Path) else one for one in value]
        return rest


def check_all(app: typer.Typer) -> None:
    """Have every command of the application, and of the groups in it, checked."""
    for command in app.registered_commands:
        if command.cls in (None, TyperCommand):
            command.cls = CheckedCommand
    for group in app.registered_groups:
        if group.typer_instance is not None:
            check_all(group.typer_instance)


def _several(value: object) -> Iterable[object]:
    return value if isinstance(value, list | tuple) else (value,)


def _texts(given: object) -> Iterator[str]:
    return (one for one in _several(given) if isinstance(one, str))


def _fault_of_text(text: str) -> str | None:
    if not text.strip():
        return "it is empty. Leave it out, or give it a value."
    if any(ord(one) < ord(" ") or ord(one) == 0x7F for one in text):
        return f"{text!r} has control characters in it."
    if any(0xD800 <= ord(one) <= 0xDFFF for one in text):
        return f"{text!r} is no UTF-8."
    return None


def _fault_of_number(value: object) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no finite number."
    if isinstance(value, int) and not SMALLEST <= value <= LARGEST:
        return "the number does not fit into 64 bits."
    return None


def _at_home(path: Path, ctx: Any, param: Any) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:  # there is no such user
        with suppress(OSError):
            if path.exists():
                return path
        raise typer.BadParameter(f"{path} cannot be found: {error}", ctx=ctx, param=param) from error


def _check(fault: str | None, ctx: Any, param: Any) -> None:
    if fault is not None:
        raise typer.BadParameter(fault, ctx=ctx, param=param)
