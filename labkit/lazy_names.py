"""The names of a package that are loaded when they are first used (PEP 562): nobody waits for what is not needed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType


def lazy_names(package: str, module_of: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of this package: each name comes from its module. It raises `AttributeError` for all others."""

    def load(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(module_of[name]), name)

    return load


def whole_dir(package: str, *hidden: str) -> Callable[[], list[str]]:
    """The `__dir__` of this package: all of `__all__`, loaded or not, its modules so far, what Python keeps in each
    module, and these `hidden` names.
    """

    def names() -> list[str]:
        kept = vars(sys.modules[package])
        there = {name for name, value in kept.items() if name.startswith("__") or isinstance(value, ModuleType)}
        return sorted(there | set(kept["__all__"]) | set(hidden))

    return names
