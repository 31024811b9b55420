"""Distributed task queues on the real thing: a Kafka lab in one command, and a small, honest task queue on it.

The names below are all that a notebook needs; each is loaded when it is first used, so that the command
line starts quickly.
"""

from __future__ import annotations

import labkit.early_interrupt  # noqa: F401 - before all others

# isort: split
from typing import TYPE_CHECKING

from labkit.lazy_names import lazy_names, whole_dir

if TYPE_CHECKING:
    from labkit.backpressure import make_strategy
    from labkit.dispatch import CelerySession, handles
    from labkit.lab import Lab, open_lab
    from labkit.policies import PriorityClass, make_policy
    from labkit.taskqueue import (
        DeadLetters,
        Membership,
        Output,
        Producer,
        Retry,
        Task,
        Topic,
        Topics,
        WorkerGroup,
        check_time,
        connect,
        constant,
        exponential,
        new_task,
        stock_tasks,
        uniform,
    )
    from labkit.taskqueue.admission import ProducerAdmission
    from labkit.taskqueue.once import once
    from labkit.version import __version__ as __version__

__all__ = [
    "CelerySession",
    "DeadLetters",
    "Lab",
    "Membership",
    "Output",
    "PriorityClass",
    "Producer",
    "ProducerAdmission",
    "Retry",
    "Task",
    "Topic",
    "Topics",
    "WorkerGroup",
    "check_time",
    "connect",
    "constant",
    "exponential",
    "handles",
    "make_policy",
    "make_strategy",
    "new_task",
    "once",
    "open_lab",
    "stock_tasks",
    "uniform",
]

#: Where a name is found, if not in `labkit.taskqueue`.
_ELSEWHERE = {
    "CelerySession": "labkit.dispatch",
    "ProducerAdmission": "labkit.taskqueue.admission",
    "Lab": "labkit.lab",
    "PriorityClass": "labkit.policies",
    "handles": "labkit.dispatch",
    "make_policy": "labkit.policies",
    "make_strategy": "labkit.backpressure",
    "once": "labkit.taskqueue.once",
    "open_lab": "labkit.lab",
}


__getattr__ = lazy_names(
    __name__,
    {name: _ELSEWHERE.get(name, "labkit.taskqueue") for name in __all__} | {"__version__": "labkit.version"},
)
__dir__ = whole_dir(__name__, "__version__")
