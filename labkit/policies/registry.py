"""The policies by name: each module of this package that holds one registers it when it is imported."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import fields
from importlib import import_module
from pkgutil import iter_modules
from typing import TypeVar

from labkit.errors import SettingsError
from labkit.policies.contract import Policy

P = TypeVar("P", bound=Policy)

#: The class of each policy by its name. Its docstring tells what it does, its fields are its options.
POLICIES: dict[str, type[Policy]] = {}


def policy(kind: type[P]) -> type[P]:
    """Register a policy under its name: a decorator of its class, which is a frozen dataclass."""
    POLICIES[kind.name] = kind
    return kind


def discover(folders: Iterable[str], package: str) -> None:
    """Import every module of the package in these folders, so that a new policy is known by being there."""
    for module in iter_modules(folders):
        import_module(f"{package}.{module.name}")


def options_of(name: str) -> tuple[str, ...]:
    """The options that this policy takes. Raises `SettingsError` if there is no such policy."""
    if name not in POLICIES:
        raise SettingsError(f"There is no policy {name!r}; there are {', '.join(sorted(POLICIES))}.")
    return tuple(option.name for option in fields(POLICIES[name]))  # type: ignore[arg-type]


def make_policy(name: str, **options: float) -> Policy:
    """The policy of that name with these options; what is not given has its default.

    Raises `SettingsError` for an unknown policy, for an option that it does not take and for a value that does not fit.
    """
    known = options_of(name)
    for option in options:
        if option not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise SettingsError(f"The policy {name!r} has no option {option!r}; {takes}.")
    make: Callable[..., Policy] = POLICIES[name]
    return make(**options)


def positive(policy_name: str, option: str, value: float) -> None:
    """Raises `SettingsError` unless the option's value is a number above 0."""
    if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
        raise SettingsError(f"The option {option!r} of the policy {policy_name!r} is {value!r}; give a number above 0.")
