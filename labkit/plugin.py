"""What is somebody else's: named as `module:name`, or known by an entry point that another distribution has."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from operator import attrgetter
from pathlib import Path
from typing import Any

from labkit.errors import SettingsError
from labkit.parameter_checks import did_you_mean

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
def plugins(group: str) -> dict[str, tuple[str, ...]]:
    """The names of the entry points of this group that installed distributions have, and the places each stands for."""
    found: dict[str, set[str]] = {}
    for one in entry_points(group=group) if group else ():
        place = one.value.partition("[")[0]  # without what must be installed for it
        found.setdefault(one.name, set()).add("".join(place.split()))
    return {name: tuple(sorted(places)) for name, places in found.items()}


def plugin_place(sort: str, name: str, group: str, known: Collection[str]) -> str:
    """`module:name` of the one of this name; `known` are labkit's own. Without a group there are no others.

    Raises `SettingsError` if there is none, or two entry points have that name.
    """
    found = plugins(group)
    if group and is_place(name):
        return name
    if name not in found:
        names = {*known, *found}
        own = " One of your own is named as module:name." if group else ""
        raise SettingsError(
            f"There is no {sort} {name!r}; there are {', '.join(sorted(names))}.{did_you_mean(name, names)}{own}"
        )
    places = found[name]
    if len(places) > 1:
        raise SettingsError(
            f"Installed distributions have several entry points {name!r} in the group {group!r}: "
            f"{', '.join(places)}. Choose one by its place, as {places[0]}."
        )
    return places[0]


def plugin_object(sort: str, name: str, place: str) -> Any:
    """What is at `module:name`. Raises `SettingsError`, also for whatever happens while its module is imported."""
    module, _, attribute = place.partition(":")
    try:
        return attrgetter(attribute)(import_module(module))
    except (Exception, SystemExit) as error:  # to import a module is to run it
        why = str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
        raise SettingsError(f"The {sort} {name!r} could not be imported: {why}.") from error


def plugin_class(sort: str, name: str, place: str, methods: tuple[str, ...]) -> type[Any]:
    """The class at `module:name`, which is to have a `name` and these methods; raises `SettingsError`."""
    found = plugin_object(sort, name, place)
    has_methods = isinstance(found, type) and all(callable(getattr(found, one, None)) for one in methods)
    if not (has_methods and isinstance(getattr(found, "name", None), str)):
        needed = f"the method{'s' if len(methods) > 1 else ''} {' and '.join(f'`{one}`' for one in methods)}"
        raise SettingsError(
            f"{place} is no {sort}: that is a class with a text `name` and {needed}, as in a module of labkit's own."
        )
    kind: type[Any] = found
    return kind
