"""The running lab: a real Kafka and a real Redis, started, found, used and stopped.

Each name is loaded when it is first used: a worker's process needs none of what starts a lab.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.lazy_names import lazy_names, whole_dir

if TYPE_CHECKING:
    from labkit.lab.connection import Connection
    from labkit.lab.lab import Lab, attach_lab, open_lab

__all__ = ["Connection", "Lab", "attach_lab", "open_lab"]


__getattr__ = lazy_names(
    __name__, {name: "labkit.lab.connection" if name == "Connection" else "labkit.lab.lab" for name in __all__}
)
__dir__ = whole_dir(__name__)
