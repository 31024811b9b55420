"""The running lab: a real Kafka and a real Redis, started, found, used and stopped.

Each name is loaded when it is first used: a worker's process needs none of what starts a lab.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.lab.connection import Connection
    from labkit.lab.lab import Lab, attach_lab, open_lab

__all__ = ["Connection", "Lab", "attach_lab", "open_lab"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'labkit.lab' has no attribute {name!r}")
    return getattr(import_module("labkit.lab.connection" if name == "Connection" else "labkit.lab.lab"), name)


def __dir__() -> list[str]:
    return __all__
