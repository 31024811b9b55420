"""From Kafka to Celery: the bridge, the priority dispatcher, and Celery's workers."""

from __future__ import annotations

from labkit.celery_app.kinds import handles
from labkit.dispatch.class_status import ClassStatus
from labkit.dispatch.dispatcher import Dispatcher
from labkit.dispatch.factory import make_bridge, make_dispatcher
from labkit.dispatch.process_fleet import CeleryWorker, DispatcherProcess
from labkit.dispatch.session import CelerySession

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
