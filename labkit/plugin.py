"""Classes of one's own: named as `module:name`, or known by an entry point that another distribution has."""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from labkit.errors import SettingsError

_PLACE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_place(name: str) -> bool:
    """Whether it is written as `module:name`."""
    return _PLACE.fullmatch(name) is not None


@cache
def plugins(group: str) -> dict[str, EntryPoint]:
    """The entry points of this group that installed distributions have, by their names."""
    return {one.name: one for one in entry_points(group=group)}


def plugin_class(sort: str, name: str, place: str, methods: tuple[str, ...]) -> type[Any]:
    """The class at `module:name`, which is to have a `name` and these methods.

    Raises `SettingsError`, also for whatever happens while its module is imported.
    """
    module, _, attribute = place.partition(":")
    try:
        found: Any = getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:  # to import a module is to run it
        why = str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
        raise SettingsError(f"The {sort} {name!r} could not be imported: {why}.") from error
    has_methods = isinstance(found, type) and all(callable(getattr(found, one, None)) for one in methods)
    if not (has_methods and isinstance(getattr(found, "name", None), str)):
        needed = f"the method{'s' if len(methods) > 1 else ''} {' and '.join(f'`{one}`' for one in methods)}"
        raise SettingsError(
            f"{place} is no {sort}: that is a class with a text `name` and {needed}, as in a module of labkit's own."
        )
    kind: type[Any] = found
    return kind
