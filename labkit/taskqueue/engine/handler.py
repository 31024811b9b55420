"""What a worker does with a task: a handler, which may be a service time. Another process can be told by JSON.

A handler in a thread cannot be stopped, so it asks how much time its attempt has left:

def handler(task):
    for part in parts(task):
        check_time()          # raises TaskTimedOut when the time is over: the attempt has failed
        work_on(part)
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Any, Self

from labkit.errors import HandlerNotFound, TaskTimedOut
from labkit.taskqueue.engine.failure import describe_with_place
from labkit.taskqueue.engine.worker_config import Handler
from labkit.taskqueue.service_time import ServiceTime, parse_service
from labkit.taskqueue.task import Task


def _do_nothing(task: Task) -> None:
    """An empty task."""


@dataclass(frozen=True, slots=True)
class Work:
    """A handler, or nothing (an empty task)."""

    handler: Handler | None = None

    def function(self) -> Handler:
        """What to call with each task."""
        return _do_nothing if self.handler is None else self.handler

    def describe(self) -> dict[str, Any]:
        """As JSON values; raises `HandlerNotFound` if another process could not import the handler."""
        if isinstance(self.handler, ServiceTime):
            return {"service": str(self.handler), "seed": self.handler.seed}
        return {} if self.handler is None else {"handler": describe_handler(self.handler)}

    @classmethod
    def of(cls, described: dict[str, Any]) -> Self:
        """What `describe` described; raises `HandlerNotFound`."""
        if "handler" in described:
            return cls(find_handler(described["handler"]))
        return cls(parse_service(described["service"], seed=described["seed"])) if described else cls()


def describe_handler(handler: Handler) -> str:
    """`module:function` for a handler that another process can import; raises `HandlerNotFound`."""
    module, name = getattr(handler, "__module__", None), getattr(handler, "__qualname__", None)
    if not module or not name or module == "__main__" or "<" in name:
        raise HandlerNotFound(
            f"{handler!r} lives only in this process, so a worker process cannot import it. "
            "Put the function into a module of its own, or use workers in threads."
        )
    return f"{module}:{name}"


def find_handler(name: str) -> Handler:
    """The function that `module:function` names; raises `HandlerNotFound`."""
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (Exception, SystemExit) as error:  # to import a module is to run it
        why = str(error) if issubclass(type(error), ImportError | AttributeError) else describe_with_place(error)
        raise HandlerNotFound(f"The handler {name!r} could not be imported: {why}.") from error
    if not callable(found):
        raise HandlerNotFound(f"{name} is not a function.")
    return found  # type: ignore[no-any-return]


_topic_id: ContextVar[str] = ContextVar("labkit_topic_id", default="")


def begin_on_topic(topic_id: str) -> None:
    """From here on, in this context, the task is one of the topic with this id."""
    _topic_id.set(topic_id)


def topic_id_of_task() -> str:
    """The id of the topic of which this attempt's task is, which may be another by now (KIP-516).

    It is empty where nobody knows it: in a share group, in a process of the executor `processes`, and in Celery.
    """
    return _topic_id.get()


_deadline: ContextVar[float | None] = ContextVar("labkit_deadline", default=None)


def begin_deadline(timeout: float) -> Token[float | None]:
    """From here on, in this context, the attempt has `timeout` seconds."""
    return _deadline.set(time.monotonic() + timeout)


@contextmanager
def task_deadline(timeout: float) -> Iterator[None]:
    """Inside, the attempt has `timeout` seconds."""
    token = begin_deadline(timeout)
    try:
        yield
    finally:
        _deadline.reset(token)


def time_left() -> float | None:
    """Seconds that this attempt has left, negative when they are over; None if there is no limit."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()


def check_time() -> None:
    """Raise `TaskTimedOut` if this attempt has no time left."""
    left = time_left()
    if left is not None and left < 0:
        raise TaskTimedOut
