"""Commands that a sentence names, as they have to be typed for a lab of another name than the usual one."""

from __future__ import annotations

import re

#: The name of a lab for which nothing has to be added.
USUAL = "default"
#: A command that takes `--name`, between backticks, with what follows it there.
_COMMAND = re.compile(r"`labkit (up|down|status|logs|reset)((?: [^`]*)?)`")


def with_name(text: str, name: str) -> str:
    """The text, in which each command about the lab says which one."""
    if name == USUAL:
        return text
    return _COMMAND.sub(
        lambda found: found[0] if "--name" in found[2] else f"`labkit {found[1]} --name {name}{found[2]}`", text
    )
