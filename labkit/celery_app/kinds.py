"""Which Celery task does what: a registry of handlers by the kind of task.

    @handles("resize")
    def resize_image(task: Task) -> None: ...

in a module that `LABKIT_CELERY_IMPORTS` names makes every task of the kind `resize` the Celery task `resize_image`.
A kind that nobody handles is a dead letter.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from labkit.errors import HandlerNotFound, SettingsError, UnknownKind
from labkit.logs.safe_logger import safe_logger
from labkit.parameters import checked
from labkit.plain_text import one_line
from labkit.plugin import import_from_here
from labkit.settings import Settings
from labkit.taskqueue.engine.failure import describe_with_place
from labkit.taskqueue.engine.outcome import check_handler, is_asynchronous
from labkit.taskqueue.engine.worker_config import Handler
from labkit.taskqueue.task import MESSAGE_KIND, STOCK_KIND, Task

log = safe_logger("labkit.celery")


class Handling(NamedTuple):
    """Who handles a kind. `once`: redeliveries are recognised for it (see `labkit.taskqueue.once`)."""

    handler: Handler
    once: bool


#: The kind of tasks that only wait.
SLEEP_KIND = "sleep"

#: Who handles each kind.
HANDLERS: dict[str, Handling] = {}


@checked
def handles(*kinds: str, once: bool = True) -> Callable[[Handler], Handler]:
    """Let this function handle the tasks of these kinds: a decorator.

    Raises `SettingsError` if another one does, and for what Celery's workers cannot run: an `async def`, and a function
    with `yield` or with other arguments than the task.

    With `once=False` the handler is called for every delivery: it recognises redeliveries itself, by
    `labkit.taskqueue.once.once_in` in its own database, or it may run twice.
    """

    def register(handler: Handler) -> Handler:
        if is_asynchronous(handler):
            raise SettingsError(
                f"{celery_name(handler)} is an `async def`, and Celery's workers call plain functions only. Make it a "
                "`def`, or work on its topic with `labkit work --executor asyncio`."
            )
        check_handler(handler)
        for kind in kinds:
            other = HANDLERS.get(kind)
            if other is not None and celery_name(other.handler) != celery_name(handler):
                names = f"{celery_name(handler)} and {celery_name(other.handler)}"
                raise SettingsError(f"{names} both handle the kind {kind!r}.")
            HANDLERS[kind] = Handling(handler, once)
        return handler

    return register


def handler_of(kind: str) -> Handling:
    """Who handles this kind; raises `UnknownKind`."""
    if kind not in HANDLERS:
        raise UnknownKind(
            f"No Celery task is registered for the kind {kind!r}; there are {', '.join(sorted(HANDLERS))}. "
            "Register one with `labkit.dispatch.handles` in a module that LABKIT_CELERY_IMPORTS names."
        )
    return HANDLERS[kind]


def celery_name(handler: Handler) -> str:
    """The name of the Celery task that calls this handler."""
    return f"{handler.__module__}.{handler.__qualname__}"


def import_handlers(settings: Settings) -> None:
    """Import the modules that the settings name, so that what they register is known. Raises `HandlerNotFound`."""
    import_from_here()
    for module in settings.celery_imports.replace(",", " ").split():
        try:
            import_module(module)
        except SettingsError:
            raise  # of a handler in it, and says which
        except (Exception, SystemExit) as error:  # to import a module is to run it
            why = str(error) if issubclass(type(error), ImportError) else describe_with_place(error)
            raise HandlerNotFound(
                f"LABKIT_CELERY_IMPORTS names the module {module!r}, which could not be imported: {why}."
            ) from error


@handles(MESSAGE_KIND, STOCK_KIND)
def print_something(task: Task) -> None:
    """The stock task: it prints the message."""
    log.info("task %s prints its message", task.id)
    print(one_line(str(task.payload)), flush=True)  # noqa: T201 - it is what this task is for


@handles(SLEEP_KIND)
def sleep_for(task: Task) -> None:
    """Simulated work: it waits as many seconds as the payload says."""
    time.sleep(float(task.payload))
