"""Classes of one's own: named as `module:name`, or known by an entry point that another distribution has."""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from labkit.errors import SettingsError

_PLACE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def import_from_here() -> None:
    """From now on, modules in the working directory can be imported, as `python -m` would."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def is_place(name: str) -> bool:
    """Whether it is written as `module:name`."""
    return _PLACE.fullmatch(name) is not None


@cache
def plugins(group: str) -> dict[str, EntryPoint]:
    """The entry points of this group that installed distributions have, by their names."""
    return {one.name: one for one in entry_points(group=group)}


def plugin_class(sort: str, name: str, place: str, *, method: str) -> type[Any]:
    """The class at `module:name`, which is to have a `name` and this method.

    Raises `SettingsError`, also for whatever happens while its module is imported.
    """
    module, _, attribute = place.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:  # to import a module is to run it
        why = str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
        raise SettingsError(f"The {sort} {name!r} could not be imported: {why}.") from error
    if not (isinstance(found, type) and callable(getattr(found, method, None)) and hasattr(found, "name")):
        raise SettingsError(
            f"{place} is no {sort}: that is a class with a text `name` and a method `{method}`, as a module of "
            "labkit's own has it."
        )
    return found
