"""Whatever comes out of a handler is an outcome: it has returned, it has raised, or it has not run at all."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from labkit.errors import HandlerNotRun, SettingsError
from labkit.taskqueue.engine.fork_guard import guarded

#: So deep a callable may be wrapped: a partial of a method of an object, and so on.
_DEPTH = 20

_YIELDS = (
    "A function with `yield` does nothing until somebody iterates over it: do the work without `yield`, or iterate in "
    "the handler."
)
_AWAITED = (
    "Hand over the `async def` itself, which runs on the executor 'asyncio', or wait for the result in the handler."
)
_LAZY = "It does nothing until somebody iterates over it: iterate in the handler."
#: What calls a function for each part while somebody iterates over it. Other iterators, such as files, cursors and what
#: zip() returns, may be of results that are there.
_LAZY_KINDS = (
    *(map, filter, itertools.starmap, itertools.accumulate, itertools.groupby),
    *(itertools.takewhile, itertools.dropwhile, itertools.filterfalse),
)


def outcome_of(handler: Callable[[Any], object], task: object) -> BaseException | None:
    """Call the handler; None if it has done its work, else why not.

    Everything that it raises is returned, also what is no `Exception`: a `SystemExit` or a `KeyboardInterrupt` of a
    handler is a failed attempt, and not the end of the worker. A copy that it forks and that comes back ends here.
    """
    try:
        return not_run(guarded(handler, task))
    except BaseException as error:  # noqa: BLE001 - see above
        return error


def not_run(result: object) -> HandlerNotRun | None:
    """Why what a handler returned means that its work was not done; None if it was."""
    kind = type(result)
    if result is None or kind in (bool, int, float, str, bytes, list, dict, tuple):
        return None
    if issubclass(kind, CoroutineType):
        _discard(result)
        return HandlerNotRun(f"The handler returned a coroutine, so its work has not been done. {_AWAITED}")
    if issubclass(kind, GeneratorType):
        _discard(result)
        return HandlerNotRun(f"The handler returned a generator, so its work has not been done. {_YIELDS}")
    if issubclass(kind, AsyncGeneratorType):
        return HandlerNotRun(f"The handler returned an async generator, so its work has not been done. {_YIELDS}")
    if issubclass(kind, _LAZY_KINDS):
        return HandlerNotRun(f"The handler returned a {kind.__name__} object, so its work has not been done. {_LAZY}")
    if issubclass(kind, Future) or hasattr(kind, "__await__"):
        what = f"a {kind.__name__}, which is to be waited for"
        return HandlerNotRun(f"The handler returned {what}, so its work has not been done. {_AWAITED}")
    return None


def is_asynchronous(handler: Callable[..., Any]) -> bool:
    """Whether the handler is an `async def`: a function, a method, a partial of one, or an object whose call is one."""
    return any(inspect.iscoroutinefunction(layer) for layer in _layers(handler))


def check_handler(handler: Callable[..., Any]) -> None:
    """Raise `SettingsError` if it can be seen that calling the handler with a task would not run it."""
    if not callable(handler):
        raise SettingsError(f"A handler is a function of a task; {handler!r} cannot be called.")
    if any(inspect.isgeneratorfunction(layer) or inspect.isasyncgenfunction(layer) for layer in _layers(handler)):
        raise SettingsError(f"The handler {name_of_handler(handler)} would never run. {_YIELDS}")
    _must_take_a_task(handler)


def name_of_handler(handler: Callable[..., Any]) -> str:
    """`module:name` of the function that is called in the end, or of the class whose objects can be called."""
    named = [layer for layer in _layers(handler) if hasattr(layer, "__qualname__")]
    return f"{named[0].__module__}:{named[0].__qualname__}" if named else type(handler).__qualname__


def _must_take_a_task(handler: Callable[..., Any]) -> None:
    is_plain = inspect.isfunction, inspect.ismethod, lambda layer: isinstance(layer, functools.partial)
    layers = _layers(handler)
    if not all(any(kind(layer) for kind in is_plain) and not hasattr(layer, "__signature__") for layer in layers):
        return  # what it takes is not to be seen, or is told of a function behind a decorator, who may add to it
    try:
        inspect.signature(handler, follow_wrapped=False).bind(None)
    except TypeError as error:
        name = name_of_handler(handler)
        raise SettingsError(f"The handler {name} cannot be called with a task, and nothing else: {error}.") from error


def _layers(handler: Any) -> list[Any]:
    """The handler, and what stands behind it: what a partial or a method calls, or an object's call."""
    layers: list[Any] = []
    while len(layers) < _DEPTH:
        layers.append(handler)
        if isinstance(handler, functools.partial):
            handler = handler.func
        elif inspect.ismethod(handler) or isinstance(handler, staticmethod):
            handler = handler.__func__
        elif inspect.isroutine(handler) or inspect.isclass(handler):
            break
        else:
            handler = type(handler).__call__
    return layers


def _discard(result: Any) -> None:
    """Close what will never run, so that nobody is warned of it later; what it does at its end is not of interest."""
    with suppress(BaseException):
        result.close()
