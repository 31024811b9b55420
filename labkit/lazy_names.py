"""The names of a package that are loaded when they are first used (PEP 562): nobody waits for what is not needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module


def lazy_names(package: str, module_of: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of this package: each name comes from its module. It raises `AttributeError` for all others."""

    def load(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(module_of[name]), name)

    return load
