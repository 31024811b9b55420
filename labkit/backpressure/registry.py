"""The strategies by name: each module of this package that holds one registers it when it is imported."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import fields
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeVar

from labkit.backpressure.contract import Strategy
from labkit.errors import SettingsError

K = TypeVar("K", bound=Strategy[Any])

#: The class of each strategy by its name. Its docstring tells what it does, its fields are its options.
STRATEGIES: dict[str, type[Strategy[Any]]] = {}


def strategy(kind: type[K]) -> type[K]:
    """Register a strategy under its name: a decorator of its class, which is a frozen dataclass."""
    STRATEGIES[kind.name] = kind
    return kind


def discover(folders: Iterable[str], package: str) -> None:
    """Import every module of the package in these folders, so that a new strategy is known by being there."""
    for module in iter_modules(folders):
        import_module(f"{package}.{module.name}")


def options_of(name: str) -> tuple[str, ...]:
    """The options that this strategy takes. Raises `SettingsError` if there is no such strategy."""
    if name not in STRATEGIES:
        raise SettingsError(f"There is no strategy {name!r}; there are {', '.join(sorted(STRATEGIES))}.")
    return tuple(option.name for option in fields(STRATEGIES[name]))  # type: ignore[arg-type]


def make_strategy(name: str, **options: float) -> Strategy[Any]:
    """The strategy of that name with these options; what is not given has its default.

    Raises `SettingsError` for an unknown strategy, for an option that it does not take and for a value that does not
    fit.
    """
    known = options_of(name)
    for option in options:
        if option not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise SettingsError(f"The strategy {name!r} has no option {option!r}; {takes}.")
    make: Callable[..., Strategy[Any]] = STRATEGIES[name]
    return make(**options)


def parse_strategy(text: str) -> Strategy[Any]:
    """Read `slow` or `slow:threshold=100,per_task=0.01`; raises `SettingsError`."""
    name, _, listed = text.partition(":")
    options: dict[str, float] = {}
    for pair in filter(None, listed.split(",")):
        option, _, value = pair.partition("=")
        try:
            options[option.strip()] = float(value)
        except ValueError:
            raise SettingsError(
                f"{pair!r} is not an option of a strategy. Write NAME or NAME:option=number,option=number, "
                "as slow:threshold=100."
            ) from None
    return make_strategy(name, **options)


def positive(strategy_name: str, option: str, value: float) -> None:
    """Raises `SettingsError` unless the option's value is a number above 0."""
    if not (_is_number(value) and value > 0):
        raise _does_not_fit(strategy_name, option, value, "a number above 0")


def whole(strategy_name: str, option: str, value: float, least: int) -> None:
    """Raises `SettingsError` unless the option's value is a whole number of `least` or more."""
    if not (_is_number(value) and value == int(value) and value >= least):
        raise _does_not_fit(strategy_name, option, value, f"a whole number, {least} or more")


def below_one(strategy_name: str, option: str, value: float) -> None:
    """Raises `SettingsError` unless the option's value is a number above 0 and below 1."""
    if not (_is_number(value) and 0 < value < 1):
        raise _does_not_fit(strategy_name, option, value, "a number above 0 and below 1")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _does_not_fit(strategy_name: str, option: str, value: float, instead: str) -> SettingsError:
    return SettingsError(f"The option {option!r} of the strategy {strategy_name!r} is {value!r}; give {instead}.")
