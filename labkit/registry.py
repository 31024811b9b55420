"""Classes by name: policies and strategies are chosen by a word, and a new one is known by its module being there.

One of somebody else's is chosen by `module:name`, or by the name of an entry point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import fields, is_dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Generic, Protocol, TypeVar

from labkit.errors import LabkitError, SettingsError
from labkit.parameters import checked, did_you_mean
from labkit.plugin import is_place, plugin_class, plugin_place, plugins

#: What options of policies and strategies may be: times, rates and numbers of tasks with which one can still reckon.
SMALLEST, LARGEST = 1e-9, 1e9


class Named(Protocol):
    """What a registry holds the classes of: frozen dataclasses, whose docstrings tell what they do."""

    @property
    def name(self) -> str:
        """The word by which it is chosen."""
        ...


#: What the classes of a registry are made into.
Made = TypeVar("Made", bound=Named)
#: One of the classes.
Kind = TypeVar("Kind", bound=type[Any])


class Registry(dict[str, type[Made]], Generic[Made]):
    """The classes of one sort, such as the policies, by their names; the fields of a class are its options.

    With `methods`, which each of them has, others may be chosen that are not held here: see `labkit.plugin`. Their
    entry points are those of the group `labkit.policies` for the sort "policy".
    """

    def __init__(self, sort: str, *, group: str = "", methods: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._sort = sort
        self._group = group
        self._methods = methods

    def register(self, kind: Kind) -> Kind:
        """Enter a class under its name: a decorator."""
        self[kind.name] = kind
        return kind

    def discover(self, folders: Iterable[str], package: str) -> None:
        """Import every module of the package in these folders: each enters what it holds."""
        for module in iter_modules(folders):
            import_module(f"{package}.{module.name}")

    @checked
    def options_of(self, name: str) -> tuple[str, ...]:
        """The options that it takes. Raises `SettingsError` if there is nothing of that name."""
        return self._options(self.find(name))

    def find(self, name: str) -> type[Made]:
        """The class of that name. Raises `SettingsError` if there is none, or it cannot be imported."""
        if name in self:
            return self[name]
        place = plugin_place(self._sort, name, self._group, self)
        return plugin_class(self._sort, name, place, self._methods)

    def names(self) -> list[str]:
        """The names of all there are; nothing is imported for it."""
        return sorted({*self, *plugins(self._group)})

    def all(self) -> dict[str, type[Made] | None]:
        """All there are, by their names; None for one that cannot be used."""
        found: dict[str, type[Made] | None] = dict(self)
        for name in plugins(self._group).keys() - self.keys():
            found[name] = None
            with suppress(SettingsError):
                found[name] = self.find(name)
        return found

    def _options(self, kind: type[Made]) -> tuple[str, ...]:
        return tuple(option.name for option in fields(kind)) if is_dataclass(kind) else ()

    @checked
    def make(self, name: str, **options: float) -> Made:
        """The one of that name with these options; what is not given has its default.

        Raises `SettingsError` for an unknown name, for an option that it does not take and for a value that does not
        fit.
        """
        kind = self.find(name)
        known = self._options(kind)
        for option in options:
            if option not in known:
                meant = did_you_mean(option, known)
                takes = f"it takes {', '.join(known)}" if known else "it takes none"
                raise SettingsError(f"The {self._sort} {name!r} has no option {option!r}; {takes}.{meant}")
        make: Callable[..., Made] = kind
        try:
            return make(**options)
        except LabkitError:
            raise
        except Exception as error:
            if name in self:
                raise
            raise SettingsError(
                f"The {self._sort} {name!r} could not be made: {type(error).__name__}: {error}."
            ) from error

    @checked
    def parse(self, text: str) -> Made:
        """Read `slow` or `slow:threshold=100,per_task=0.01`; raises `SettingsError`."""
        name, _, listed = text.partition(":")
        if self._methods and name not in self and is_place(":".join(text.split(":")[:2])):  # it is a module's
            attribute, _, listed = listed.partition(":")
            name = f"{name}:{attribute}"
        options: dict[str, float] = {}
        for pair in filter(None, listed.split(",")):
            option, _, value = pair.partition("=")
            try:
                options[option.strip()] = float(value)
            except ValueError:
                raise SettingsError(
                    f"{pair!r} is not an option of a {self._sort}. Write NAME or NAME:option=number,option=number, "
                    "as slow:threshold=100."
                ) from None
        return self.make(name, **options)

    def positive(self, made: Made, *options: str) -> None:
        """Raises `SettingsError` unless each of these options is a number above 0, and no more than clocks hold."""
        fits = f"a number above 0, from {SMALLEST:g} to {LARGEST:g}"
        self._check(made, options, lambda value: SMALLEST <= value <= LARGEST, fits)

    def below_one(self, made: Made, *options: str) -> None:
        """Raises `SettingsError` unless each of these options is a number above 0 and below 1."""
        self._check(made, options, lambda value: 0 < value < 1, "a number above 0 and below 1")

    def whole(self, made: Made, *options: str, least: int) -> None:
        """Raises `SettingsError` unless each of these options is a whole number of `least` or more."""
        self._check(
            made,
            options,
            lambda value: value == int(value) and least <= value <= LARGEST,
            f"a whole number, {least} or more, {LARGEST:g} at most",
        )

    def _check(self, made: Made, options: Iterable[str], fits: Callable[[float], bool], instead: str) -> None:
        for option in options:
            value = getattr(made, option)
            if not (isinstance(value, int | float) and math.isfinite(value) and fits(value)):
                raise SettingsError(
                    f"The option {option!r} of the {self._sort} {made.name!r} is {value!r}; give {instead}."
                )
