"""The data path: tasks, topics, partitioners, producer, worker group, and the transports under them."""

from __future__ import annotations

from labkit.lab import Lab
from labkit.settings import TransportName, load_settings
from labkit.taskqueue.dead_letters import DeadLetter, DeadLetters
from labkit.taskqueue.engine.handler import check_time, time_left
from labkit.taskqueue.engine.worker_config import Retry
from labkit.taskqueue.group import WorkerGroup
from labkit.taskqueue.namespace import new_namespace
from labkit.taskqueue.producer import Producer
from labkit.taskqueue.service_time import ServiceTime, constant, exponential, uniform
from labkit.taskqueue.task import Task, new_task, stock_tasks
from labkit.taskqueue.topics import PartitionLag, Topic, Topics
from labkit.taskqueue.transport import connect_transport

__all__ = [
    "DeadLetter",
    "DeadLetters",
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


def connect(
    lab: Lab, *, transport: TransportName | None = None, prefix: str | None = None, own: bool = False
) -> Topics:
    """The topics of the lab's Kafka; the transport and the prefix are those of the settings, or those named here.

    With `own` they have, besides, a prefix that nobody else has, as have the groups that read them.
    """
    name = transport or load_settings().transport
    prefix = lab.connection.topic_prefix if prefix is None else prefix
    return Topics(connect_transport(lab.connection, name), prefix=prefix + new_namespace() if own else prefix)
