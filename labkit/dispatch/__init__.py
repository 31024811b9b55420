"""From Kafka to Celery: the bridge, the priority dispatcher, and Celery's workers."""

from __future__ import annotations

from labkit.dispatch.dispatcher import Dispatcher
from labkit.dispatch.kinds import handles
from labkit.dispatch.making import make_bridge, make_dispatcher
from labkit.dispatch.processes import CeleryWorker, DispatcherProcess
from labkit.dispatch.session import CelerySession
from labkit.dispatch.status import ClassStatus

__all__ = [
    "CelerySession",
    "CeleryWorker",
    "ClassStatus",
    "Dispatcher",
    "DispatcherProcess",
    "handles",
    "make_bridge",
    "make_dispatcher",
]
