"""What an annotation says of a value: its type, its range, and which words it may be."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from math import inf
from numbers import Integral, Real
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, cast, get_args, get_origin

from labkit.errors import SettingsError

#: What fits into 64 bits, and a year in seconds.
_LARGEST, _YEAR = 2**63 - 1, 366 * 86_400
#: From what to what the numbers of these names may be; those of all others are not negative. A `Range` goes first.
RANGES: Mapping[str, tuple[float, float]] = {
    "attempts": (1, 1_000_000),
    "brokers": (1, 5),
    "concurrency": (1, 100_000),
    "first": (0, _YEAR),
    "interval": (0.001, _YEAR),
    "keys": (1, _LARGEST),
    "lease": (0.01, _YEAR),
    "lock": (0, _YEAR),
    "longest": (0, _YEAR),
    "max_bytes": (1, _LARGEST),
    "partitions": (1, 100_000),
    "patience": (0, _YEAR),
    "priority": (-_LARGEST - 1, _LARGEST),
    "processes": (1, 10_000),
    "replication_factor": (1, 32_767),
    "seconds": (0, _YEAR),
    "seed": (-_LARGEST - 1, _LARGEST),
    "session_timeout": (0, _YEAR),
    "timeout": (0, _YEAR),
    "ttl": (0.01, 100 * _YEAR),
    "wait": (0, _YEAR),
    "workers": (0, 10_000),
}
#: The texts that may be empty.
_MAY_BE_EMPTY = ("body", "code", "dispatcher", "effect", "prefix", "student", "title", "topic_id", "url")
#: How alike a word must be to one that is taken for what was meant.
_ALIKE = 0.6


class Range(NamedTuple):
    """From what to what a number may be, as in `Annotated[int, Range(1)]`; `above`: and not the lower end itself."""

    low: float
    high: float = _LARGEST
    above: bool = False


#: At least one, above zero, a share of a whole, a moment on a clock that begins anywhere, and what a figure may leave
#: out: also what is infinite, and NaN.
Count = Annotated[int, Range(1)]
Positive = Annotated[float, Range(0, above=True)]
Share = Annotated[float, Range(0, 1)]
Moment = Annotated[float, Range(-_LARGEST)]
Drawn = Annotated[float, Range(-inf, inf)]

Fault = tuple[type[SettingsError], str]
Check = Callable[[str, object], Fault | None]


class BadValue(SettingsError, ValueError):
    """A parameter has a value that it cannot have."""

    says = "A parameter has a value that it cannot have."


class BadType(SettingsError, TypeError):
    """A parameter is of another type than it can be."""

    says = "A parameter is of another type than it can be."


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """A sentence that names the known word that looks most like this one, with a space before it; or nothing."""
    meant = _nearest(str(word), known)
    return f" Did you mean {meant!r}?" if meant else ""


def _nearest(word: str, known: Iterable[str]) -> str:
    """The known word that looks most like this one; nothing if none does."""
    return next(iter(get_close_matches(word.lower(), known, n=1, cutoff=_ALIKE)), "")


class _LateNames(dict[str, object]):
    """The names that a module imports for type checkers alone, imported when they are asked for."""

    def __init__(self, module: ModuleType) -> None:
        super().__init__()
        self._module = module

    def __missing__(self, name: str) -> object:
        if name in vars(self._module) or name not in _late_imports(self._module):
            raise KeyError(name)  # it is looked for elsewhere
        source, asked = _late_imports(self._module)[name]
        return import_module(source) if asked is None else getattr(import_module(source), asked)


@cache
def _late_imports(module: ModuleType) -> dict[str, tuple[str, str | None]]:
    found: dict[str, tuple[str, str | None]] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for one in node.body:
                if isinstance(one, ast.ImportFrom) and one.module is not None:
                    found |= {alias.asname or alias.name: (one.module, alias.name) for alias in one.names}
                elif isinstance(one, ast.Import):
                    found |= {alias.asname or alias.name: (alias.name, None) for alias in one.names}
    return found


def evaluated(annotation: object, module: ModuleType) -> object:
    """The annotation as an object, where it is a text, as in modules that import names for type checkers alone."""
    if not isinstance(annotation, str):
        return annotation
    return eval(annotation, vars(module), _LateNames(module))  # noqa: S307 - labkit's own


def check_of(annotation: object) -> Check | None:
    """What holds for values of this annotation; None where anything does."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    alias = origin or annotation
    if hasattr(alias, "__value__"):  # of a `type` statement (PEP 695), as NumPy's NDArray is from 2.5 on
        return check_of(alias.__value__)
    if origin in (Union, UnionType):
        return _any_of([check_of(one) for one in arguments])
    if origin is Literal:
        return _one_of([str(one) for one in arguments])
    if origin is Callable or annotation is Callable:
        return lambda _, value: None if callable(value) else (BadType, "something that can be called")
    if origin is Annotated:
        return _in_range(arguments[0], arguments[1])
    if annotation is NoneType or annotation is None:
        return lambda _, value: None if value is None else (BadType, "None")
    if annotation in _OF_PLAIN:
        return _OF_PLAIN[cast("type", annotation)]
    kind = origin if isinstance(origin, type) else annotation
    if not isinstance(kind, type) or kind in (object, Any):
        return None
    if issubclass(kind, Mapping):
        return _of_items(kind, [check_of(one) for one in arguments], lambda value: value.items())
    if kind is tuple and arguments[1:] not in ((), (...,)):  # of so many, each of its own kind
        return _of_items(kind, [check_of(one) for one in arguments], lambda value: [tuple(value)])
    if issubclass(kind, Iterable) and kind.__module__ in ("collections.abc", "builtins"):
        return _of_items(kind, [check_of(one) for one in arguments[:1]], lambda value: ((one,) for one in value))
    return _of_class(kind)


def _any_of(checks: list[Check | None]) -> Check | None:
    if None in checks:
        return None

    def check(name: str, value: object) -> Fault | None:
        faults: list[Fault] = []
        for one in cast("list[Check]", checks):
            fault = one(name, value)
            if fault is None:
                return None
            faults.append(fault)
        kind = BadValue if any(fault[0] is BadValue for fault in faults) else BadType
        return kind, " or ".join(instead for _, instead in faults)

    return check


def _one_of(words: list[str]) -> Check:
    known = ", ".join(map(repr, words))

    def check(name: str, value: object) -> Fault | None:
        if isinstance(value, str) and value in words:
            return None
        if not isinstance(value, str):
            return BadType, f"one of {known}"
        meant = _nearest(value, words)
        return BadValue, f"one of {known}{f' (did you mean {meant!r}?)' if meant else ''}"

    return check


def _in_range(plain: type, given: Range | None = None) -> Check:
    """What holds for a whole or any number in the given range, or else in the one that its name has."""
    kind = Integral if plain is int else Real
    may_be_any = given is not None and given.low == -inf
    what = "a whole number" if plain is int else "a number" if may_be_any else "a finite number"

    def check(name: str, value: object) -> Fault | None:
        low, high, above = given or Range(*RANGES.get(name, (0, _LARGEST)))
        instead = what if may_be_any else _range(what, low, high, above)
        if isinstance(value, bool) or not isinstance(value, kind):  # also those of NumPy
            return BadType, instead
        number = cast("float", value)
        fits = may_be_any or ((low < number if above else low <= number) and number <= high)
        return None if fits else (BadValue, instead)

    return check


def _range(what: str, low: float, high: float, above: bool) -> str:
    if above:
        return f"{what} above {low:,}"
    if high < _LARGEST:
        return f"{what} from {low:,} to {high:,}"
    return f"{what} of {low:,} or more" if low >= 0 else f"{what} that fits into 64 bits"


def _text(name: str, value: object) -> Fault | None:
    if not isinstance(value, str):
        return BadType, "a text"
    return (BadValue, "a text that is not empty") if not value.strip() and name not in _MAY_BE_EMPTY else None


def _of_plain_kind(kind: type, instead: str) -> Check:
    return lambda _, value: None if isinstance(value, kind) else (BadType, instead)


_OF_PLAIN: Mapping[object, Check] = {
    int: _in_range(int),
    float: _in_range(float),
    str: _text,
    bool: _of_plain_kind(bool, "True or False"),
    bytes: _of_plain_kind(bytes, "bytes"),
}


def _of_items(kind: type, checks: list[Check | None], items: Callable[[Any], Iterable[tuple[object, ...]]]) -> Check:
    what = "a mapping" if issubclass(kind, Mapping) else "a list"

    def check(_: str, value: object) -> Fault | None:
        is_array = what == "a list" and _is_array(value)
        if not (isinstance(value, kind) or is_array) or isinstance(value, str | bytes):
            return BadType, what
        if is_array or isinstance(value, list | tuple | set | frozenset | range | Mapping):  # others are read but once
            for item in _ends(value) if is_array else items(value):
                for one, part in zip(checks, item, strict=False):
                    fault = None if one is None else one("", part)
                    if fault is not None:
                        return fault[0], f"{what} in which each is {fault[1]}"
        return None

    return check


def _is_array(value: Any) -> bool:
    """Of NumPy, or a column of pandas; a number of NumPy is none."""
    return hasattr(value, "dtype") and bool(value.ndim)


def _ends(array: Any) -> Iterable[tuple[object]]:
    """The least and the greatest number of an array, which are NaN if one is; nothing for what are no numbers."""
    plain = array.to_numpy() if hasattr(array, "to_numpy") else array
    return [(plain.min(),), (plain.max(),)] if plain.dtype.kind in "iuf" and plain.size else []


def _of_class(kind: type) -> Check:
    instead = f"a {kind.__name__}" if kind.__name__[0] not in "AEIOU" else f"an {kind.__name__}"
    is_protocol = getattr(kind, "_is_protocol", False)
    needed = [name for name in {**vars(kind), **getattr(kind, "__annotations__", {})} if not name.startswith("_")]

    def check(_: str, value: object) -> Fault | None:
        if all(hasattr(value, name) for name in needed) if is_protocol else isinstance(value, kind):
            return None
        is_known = type(value).__module__.partition(".")[0] in ("builtins", "labkit")
        return (BadType, instead) if is_known else None

    return check
