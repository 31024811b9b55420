"""The data path: tasks, topics, partitioners, producer, worker group, and the transports under them.

Each name is loaded when it is first used: a worker's process needs few of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.lazy_names import lazy_names, whole_dir
from labkit.parameters import checked

if TYPE_CHECKING:
    from labkit.lab import Lab
    from labkit.settings import TransportName
    from labkit.taskqueue.dead_letter import DeadLetter
    from labkit.taskqueue.dead_letters import DeadLetters
    from labkit.taskqueue.engine.handler import check_time, time_left
    from labkit.taskqueue.engine.worker_config import Retry
    from labkit.taskqueue.producer import Producer
    from labkit.taskqueue.service_time import ServiceTime, constant, exponential, uniform
    from labkit.taskqueue.task import Task, new_task, stock_tasks
    from labkit.taskqueue.topic import Topic
    from labkit.taskqueue.topics import PartitionLag, Topics
    from labkit.taskqueue.worker_group.group import WorkerGroup
    from labkit.taskqueue.worker_group.group_output import Output
    from labkit.taskqueue.worker_group.membership import Membership

_MODULE_OF = {
    "DeadLetter": "dead_letter",
    "DeadLetters": "dead_letters",
    "Membership": "worker_group.membership",
    "Output": "worker_group.group_output",
    "PartitionLag": "topics",
    "Producer": "producer",
    "Retry": "engine.worker_config",
    "ServiceTime": "service_time",
    "Task": "task",
    "Topic": "topic",
    "Topics": "topics",
    "WorkerGroup": "worker_group.group",
    "check_time": "engine.handler",
    "constant": "service_time",
    "exponential": "service_time",
    "new_task": "task",
    "stock_tasks": "task",
    "time_left": "engine.handler",
    "uniform": "service_time",
}

__all__ = [
    "DeadLetter",
    "DeadLetters",
    "Membership",
    "Output",
    "PartitionLag",
    "Producer",
    "Retry",
    "ServiceTime",
    "Task",
    "Topic",
    "Topics",
    "WorkerGroup",
    "check_time",
    "connect",
    "constant",
    "exponential",
    "new_task",
    "stock_tasks",
    "time_left",
    "uniform",
]


@checked
def connect(
    lab: Lab, *, transport: TransportName | None = None, prefix: str | None = None, own: bool = False
) -> Topics:
    """The topics of the lab's Kafka; the transport and the prefix are those of the settings, or those named here.

    With `own` they have, besides, a prefix that nobody else has, as have the groups that read them.
    """
    from labkit.settings import load_settings
    from labkit.taskqueue.namespace import new_namespace
    from labkit.taskqueue.topics import Topics
    from labkit.taskqueue.transport import connect_transport

    name = transport or load_settings().transport
    prefix = lab.connection.topic_prefix if prefix is None else prefix
    return Topics(connect_transport(lab.connection, name), prefix=prefix + new_namespace() if own else prefix)


__getattr__ = lazy_names(__name__, {name: f"labkit.taskqueue.{module}" for name, module in _MODULE_OF.items()})
__dir__ = whole_dir(__name__)
