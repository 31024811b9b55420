"""What a handler raises or returns: done, failed, or not run at all."""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import warnings
from concurrent.futures import Future
from unittest.mock import AsyncMock, MagicMock

import pytest

from labkit.errors import HandlerNotRun, SettingsError
from labkit.taskqueue.engine.outcome import check_handler, is_asynchronous, name_of_handler, outcome_of


def plain(task):
    return task


async def coroutine(task):
    return task


def generator(task):
    yield task


async def async_generator(task):
    yield task


def passes_on(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)

    return wrapper


class Calls:
    """An object whose call is the function."""

    def __init__(self, function):
        self.function = function

    def __call__(self, task):
        return self.function(task)


class Owner:
    def plain(self, task):
        return task

    async def coroutine(self, task):
        return task

    def generator(self, task):
        yield task

    async def async_generator(self, task):
        yield task

    partly = functools.partialmethod(coroutine)


def object_that_is_called(function):
    return type("Handler", (), {"__call__": lambda self, task: None} | {"__call__": function})()


class Awaitable:
    def __await__(self):
        yield


#: What hides a function from a look at the handler: it is seen only by what comes out.
HIDING = {"lambda": lambda f: lambda task: f(task), "decorator": passes_on, "object": Calls}  # noqa: PLW0108
#: What does not hide it.
SHOWING = {
    "itself": lambda f: f,
    "partial": functools.partial,
    "partial of a partial": lambda f: functools.partial(functools.partial(f)),
    "method": lambda f: getattr(Owner(), f.__name__),
    "unbound, partly": lambda f: functools.partial(getattr(Owner, f.__name__), Owner()),
    "static method": staticmethod,
    "object": lambda f: object_that_is_called(getattr(Owner, f.__name__)),
    "partial of an object": lambda f: functools.partial(object_that_is_called(getattr(Owner, f.__name__))),
}


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
        StopIteration(),
        BaseExceptionGroup("all", [SystemExit()]),
    ],
)
def test_everything_raised_is_a_failure(error):
    def handler(task):
        raise error

    assert outcome_of(handler, None) is error


@pytest.mark.parametrize("result", [None, False, 0, "", b"x", [], {}, (), iter([]), object(), MagicMock(), int])
def test_a_handler_that_returns_anything_else_has_done_its_work(result):
    assert outcome_of(lambda task: result, None) is None


@pytest.mark.parametrize("hide", HIDING)
@pytest.mark.parametrize(
    ("function", "what"),
    [(coroutine, "a coroutine"), (generator, "a generator"), (async_generator, "an async generator")],
)
def test_a_handler_that_returns_what_has_not_run_has_failed(hide, function, what):
    handler = HIDING[hide](function)
    check_handler(handler)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        error = outcome_of(handler, "task")
        gc.collect()  # which would warn of a coroutine that nobody has awaited
    assert isinstance(error, HandlerNotRun)
    assert f"returned {what}, so its work has not been done" in str(error)


@pytest.mark.parametrize(
    "result",
    [
        *(Awaitable(), Future(), map(print, [1]), filter(None, [1]), (n for n in [1])),
        *(itertools.starmap(print, [(1, 2)]), itertools.accumulate([1], print), itertools.takewhile(print, [1])),
    ],
)
def test_so_has_one_that_returns_something_to_wait_for_or_to_iterate_over(result):
    assert isinstance(outcome_of(lambda task: result, None), HandlerNotRun)


@pytest.mark.parametrize("result", [iter([1]), zip([1], [2], strict=True), enumerate([1]), itertools.chain([1], [2])])
def test_one_that_returns_an_iterator_over_what_is_there_has_run(result):
    assert outcome_of(lambda task: result, None) is None


def test_a_result_that_cannot_be_looked_at_is_a_failure():
    class Meta(type):
        def __getattr__(cls, name):
            raise RuntimeError(name)

    assert isinstance(outcome_of(lambda task: Meta("Odd", (), {})(), None), RuntimeError)


@pytest.mark.parametrize("show", SHOWING)
def test_what_can_be_seen_is_seen_at_the_start(show):
    for function in (generator, async_generator):
        with pytest.raises(SettingsError, match="would never run"):
            check_handler(SHOWING[show](function))
    for function in (plain, coroutine):
        check_handler(SHOWING[show](function))
    assert is_asynchronous(SHOWING[show](coroutine))
    assert not is_asynchronous(SHOWING[show](plain))
    assert not is_asynchronous(SHOWING[show](generator))


class Takes:
    def nothing(self): ...

    def more(self, task, other): ...

    def enough(self, task, other=None, *, keyword=1): ...


def needs_a_word(task, *, word): ...


@pytest.mark.parametrize(
    "handler",
    [
        lambda: None,
        lambda task, other: None,
        needs_a_word,
        Takes().nothing,
        Takes().more,
        functools.partial(plain, "the task already"),
        functools.partial(Takes().enough, 1, 2),
    ],
)
def test_a_handler_that_cannot_be_called_with_a_task_is_seen_at_the_start(handler):
    """Every one of its tasks would become a dead letter."""
    with pytest.raises(SettingsError, match="cannot be called with a task, and nothing else"):
        check_handler(handler)


@pytest.mark.parametrize(
    "handler",
    [
        Takes().enough,
        lambda *args: None,
        lambda task=None: None,
        functools.partial(Takes().more, other=1),
        functools.partial(needs_a_word, word="w"),
        passes_on(Takes().nothing),
        passes_on(needs_a_word),
        dict,
        print,
        Owner,
    ],
)
def test_what_may_be_called_with_a_task_is_not_refused(handler):
    check_handler(handler)


def test_odd_handlers_are_seen_too():
    assert is_asynchronous(AsyncMock())
    assert is_asynchronous(Owner().partly)
    assert not is_asynchronous(MagicMock())
    assert not is_asynchronous(print)
    assert not is_asynchronous(dict)
    with pytest.raises(SettingsError, match="7 cannot be called"):
        check_handler(7)


def test_a_handler_has_the_name_of_what_is_called_in_the_end():
    assert name_of_handler(plain) == f"{__name__}:plain"
    assert name_of_handler(functools.partial(plain)) == f"{__name__}:plain"
    assert name_of_handler(Owner().plain) == f"{__name__}:Owner.plain"
    assert name_of_handler(Calls(plain)) == f"{__name__}:Calls.__call__"
