"""From Kafka to Celery: the bridge, the priority dispatcher, and Celery's workers.

Each name is loaded when it is first used: the process of a Celery worker needs none of what feeds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.lazy_names import lazy_names, whole_dir

if TYPE_CHECKING:
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

_MODULE_OF = {
    "CelerySession": "labkit.dispatch.session",
    "CeleryWorker": "labkit.dispatch.process_fleet",
    "ClassStatus": "labkit.dispatch.class_status",
    "Dispatcher": "labkit.dispatch.dispatcher",
    "DispatcherProcess": "labkit.dispatch.process_fleet",
    "handles": "labkit.celery_app.kinds",
    "make_bridge": "labkit.dispatch.factory",
    "make_dispatcher": "labkit.dispatch.factory",
}


__getattr__ = lazy_names(__name__, _MODULE_OF)
__dir__ = whole_dir(__name__)
