"""Whatever is handed to a public constructor or function wrongly is told in one sentence that names the parameter."""

from __future__ import annotations

import importlib
import inspect
import math
import random
import re
import typing
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, get_args, get_origin
from uuid import uuid4

import numpy as np
import pytest
from typing_extensions import TypeAliasType

from labkit.errors import LabkitError
from labkit.parameter_checks import _MAY_BE_EMPTY, RANGES, Range, check_of, evaluated
from labkit.parameters import BadType, BadValue, checked
from labkit.taskqueue.transport.memory import MemoryTransport
from tests.public_names import FACTS, ROOMS_OF_LABKIT, UNCHECKED, imported_names, public_callables, public_modules

#: What each task goes through: see `test_what_is_no_task_is_told_when_it_is_sent`.
HOT = {"new_task": {"clock", "rng", "payload"}, "Producer.send": {"task"}, "Producer.send_many": {"tasks"}}
HOT["Jobs.create"] = {"job_id"}  # `BadJobId`
HOT["ServiceTime.draw"] = {"task_id"}
HOT["Producer.submit"] = {"task", "scheduled_at", "stop"}


def wrong_values(annotation: Any, name: str) -> Iterator[tuple[str, object]]:
    """What a parameter of this annotation cannot be."""
    kinds = set(_alternatives(annotation))
    if Any in kinds or object in kinds or any(isinstance(kind, typing.TypeVar) for kind in kinds):
        return
    ranged = [get_args(kind) for kind in kinds if get_origin(kind) is typing.Annotated]
    numbers = kinds & {int, float} or ranged
    yield "an object", object()
    yield "an error", ValueError()
    if str not in kinds and not _words(kinds):
        yield "a text", "soon"
    if not numbers and bool not in kinds:
        yield "a number", 7
    if numbers:
        low, high, above = ranged[0][1] if ranged else Range(*RANGES.get(name, (0, 2**63 - 1)))
        yield "true", True
        yield "NaN", math.nan
        yield "infinite", math.inf
        yield "huge", 10**30
        yield "beyond floats", 10**5000
        if low >= 0:
            yield "negative", -1
        if low == 1 or above:
            yield "zero", 0
        if high < 10**12:
            yield "too much", high + 1
    if str in kinds and name not in _MAY_BE_EMPTY:
        yield "empty", ""
    if _words(kinds):
        yield "misspelt", _words(kinds)[0][:-1] + "x"
        yield "empty", ""
    for item in (get_args(kind)[0] for kind in kinds if get_origin(kind) in (list, Sequence, Iterable, tuple)):
        if _is_checked(item):
            yield "a wrong item", [object()]
    if not ranged and not any(get_origin(kind) or getattr(kind, "__origin__", None) for kind in kinds):
        yield "a list", [object()]


def _alternatives(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) in (typing.Union, type(int | None)):
        for one in get_args(annotation):
            yield from _alternatives(one)
    else:
        yield annotation


def _is_checked(item: Any) -> bool:
    return not ({Any, object, Hashable} & set(_alternatives(item)) or isinstance(item, typing.TypeVar))


def _words(kinds: set[Any]) -> list[str]:
    return [word for kind in kinds if get_origin(kind) is typing.Literal for word in get_args(kind)]


def table() -> Iterator[Any]:
    for name, found in public_callables():
        for parameter in inspect.signature(found).parameters.values():
            is_of_others = parameter.kind is inspect.Parameter.VAR_KEYWORD  # by what is made, as in labkit.registry
            if parameter.name == "self" or is_of_others or parameter.name in HOT.get(name, ()):
                continue
            function = found.__init__ if inspect.isclass(found) and hasattr(found.__init__, "__wrapped__") else found
            function = inspect.unwrap(getattr(function, "__func__", function))
            annotation = evaluated(parameter.annotation, importlib.import_module(function.__module__))
            wrong = dict(wrong_values(annotation, parameter.name))
            if name in ("new_task", "Message"):
                wrong.pop("empty", None)  # others may have such
            if wrong:
                yield pytest.param(found, parameter, wrong, id=f"{name}-{parameter.name}")


TABLE = list(table())


def test_the_table_is_long():
    assert sum(len(one.values[2]) for one in TABLE) >= 3000


def test_nothing_public_is_left_out_without_a_reason():
    collected = {name.partition(".")[0] for name, _ in public_callables()}
    for module, name in imported_names():
        found = getattr(importlib.import_module(module), name, None)
        is_error = inspect.isclass(found) and issubclass(found, BaseException)
        is_code = (inspect.isclass(found) or inspect.isroutine(found)) and not is_error
        assert not is_code or name in collected or name in FACTS or name in UNCHECKED, f"{module}.{name}"
    known = {one for module in ROOMS_OF_LABKIT for one in importlib.import_module(module).__all__}
    assert {"WorkerGroup", "CelerySession", "make_bridge", "erlang_c", "simulate_pressure", "goodput"} <= collected
    assert known.isdisjoint({"WorkerGroup", "Topics"}), "these rooms list what is theirs"


def test_what_is_left_out_is_there():
    names = {name for module in public_modules() for name in dir(module)}
    for name in (*FACTS, *UNCHECKED):
        assert name.partition(".")[0] in names, f"{name} is no name of labkit's any more"


@pytest.mark.parametrize(("function", "parameter", "wrong"), TABLE)
def test_a_wrong_value_is_told_in_a_sentence(function, parameter, wrong):
    for value in wrong.values():
        _must_tell(function, parameter, value)


def _must_tell(function: Callable[..., Any], parameter: inspect.Parameter, value: object) -> None:
    before = [None] if inspect.isfunction(function) and "self" in inspect.signature(function).parameters else []
    by_name: dict[str, object] = {}
    match parameter.kind:
        case inspect.Parameter.VAR_POSITIONAL | inspect.Parameter.POSITIONAL_ONLY:
            before.append(value)
        case _:
            by_name[parameter.name] = value
    if function.__name__ in _NEEDS:
        by_name = _NEEDS[function.__name__] | by_name
    with pytest.raises(LabkitError) as told:
        function(*before, **by_name)
    said = str(told.value)
    assert re.search(rf"\b{parameter.name}\b", said), said
    assert said.endswith((".", "?")), said
    assert len(said.splitlines()) == 1
    assert len(said) < 600
    assert isinstance(told.value, BadType | BadValue) or function.__name__ in _NEEDS


#: Where a Struct has its fields checked when all are there, they are.
_NEEDS: dict[str, dict[str, Any]] = {
    "PriorityClass": {"name": "high"},
    "Retry": {},
    "Retries": {"patience": 1.0, "copies": 1},
    "Change": {"at": 1.0, "worker": "worker-1", "what": "joins"},
    "Limits": {},
    "Message": {"timestamp": datetime.now(UTC), "title": "t", "body": "b", "author": uuid4(), "topic": "t"},
    "new_task": {"kind": "a"},
    "Topic": {"name": "t", "partitions": 1, "transport": MemoryTransport()},
    "ServiceTime": {"distribution": "constant", "parameters": (1.0,)},
}


def test_a_name_that_is_none_of_the_parameters_is_told_with_what_was_meant():
    @checked
    def work(workers: int = 1, *, timeout: float = 1.0) -> int:
        return workers

    with pytest.raises(BadType, match=r"has no parameter 'wrokers'\. Did you mean 'workers'\?"):
        work(wrokers=2)
    assert work(2, timeout=3) == 2


@pytest.mark.parametrize(
    "found", [pytest.param(found, id=name) for name, found in public_callables() if name not in HOT]
)
def test_a_name_of_no_parameter_is_told_by_all_that_takes_some(found):
    kinds = {one.name: one.kind for one in inspect.signature(found).parameters.values()}
    if not kinds.keys() - {"self"} or inspect.Parameter.VAR_KEYWORD in kinds.values():
        return
    with pytest.raises(BadType, match=r"^\S+ has no parameter 'no_such'\.$"):
        found(no_such=1)


def test_an_alias_of_a_type_is_checked_as_what_it_stands_for():
    """As NumPy's `NDArray` is one on Python 3.12 and newer."""
    check = check_of(TypeAliasType("Numbers", list[int]))
    assert check is not None
    assert check("numbers", [1]) is None
    assert check("numbers", ["soon"]) is not None


def test_each_call_is_checked_and_answers_as_before():
    @checked
    def add(*numbers: int, seed: int = 0) -> int:
        return sum(numbers) + seed

    assert add(1, 2, 3, seed=-7) == -1
    assert add(np.int64(1), seed=np.int32(2)) == 3, "a number of NumPy is one"
    with pytest.raises(BadValue, match=r"'numbers' of .*add is -2; give a whole number of 0 or more"):
        add(1, -2)


def test_what_behaves_like_one_is_taken():
    @checked
    def draw(rng: random.Random) -> float:
        return rng.random()

    class Mine:
        def random(self) -> float:
            return 0.5

    assert draw(Mine()) == 0.5
    with pytest.raises(BadType, match="give a Random"):
        draw("0.5")
