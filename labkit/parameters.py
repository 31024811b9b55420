"""What callers hand in is checked where they hand it in, by the annotations: its type, its range, and allowed words.

A mistake is told in a sentence that names the parameter and says what it may be. The ranges are those of a word, which
means the same everywhere: `RANGES`. What each task goes through (`Task`, `Producer.send`) has no such checks.

An object of another program's class is taken where one of labkit's is expected: it may behave like one.
"""

from __future__ import annotations

import inspect
import re
import reprlib
import sys
from collections.abc import Callable, Collection, Hashable, Sized
from functools import cache, wraps
from types import FunctionType
from typing import Any, ClassVar, NamedTuple, ParamSpec, TypeVar, cast, get_args, get_origin

from labkit.parameter_checks import BadType, BadValue, Check, Fault, check_of, did_you_mean, evaluated

__all__ = [
    "BadType",
    "BadValue",
    "check_fields",
    "check_lengths",
    "check_methods",
    "check_names",
    "checked",
    "did_you_mean",
]

Given = ParamSpec("Given")
Result = TypeVar("Result")
Owner = TypeVar("Owner", bound=type)


def checked(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Check what this function is called with; raises `BadValue` and `BadType`."""

    found: list[_Plan] = []  # when it is called first: to read annotations takes longer than to import a module may

    @wraps(function)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        if not found:
            found.append(_plan(function))
        what = found[0]
        for (name, check), value in zip(what.in_order, args, strict=False):
            if check is not None:
                _raise_if(check(name, value), name, value, what.owner)
        for name, value in kwargs.items():
            check = what.by_name.get(name, _NO_SUCH)
            if check is _NO_SUCH:
                if what.takes_any:
                    continue
                raise BadType(f"{what.owner} has no parameter {name!r}.{_place_of(name, function, what.by_name)}")
            if check is not None:
                _raise_if(check(name, value), name, value, what.owner)
        return function(*args, **kwargs)

    return call


def check_fields(made: Any, *, ranges: bool = True) -> None:
    """Check the fields of a new object of a dataclass or a struct; raises `BadType`, and for `ranges` `BadValue`."""
    kind = cast("Hashable", type(made))  # mypy does not take a class for one
    for name, check in _field_checks(kind).items():
        value = getattr(made, name)
        fault = None if check is None else check(name, value)
        is_beyond = isinstance(value, int) and abs(value) >= 2**63  # what nobody could even write into a message
        if fault is not None and (ranges or fault[0] is BadType or is_beyond):
            _raise_if(fault, name, value, type(made).__name__)


def check_lengths(owner: str, **columns: Sized) -> None:
    """Raises `BadValue` unless these columns of a table have as many entries each."""
    lengths = [len(column) for column in columns.values()]
    if len(set(lengths)) > 1:
        names, numbers = " and ".join(map(repr, columns)), " and ".join(map(str, lengths))
        raise BadValue(f"{names} of {owner} have {numbers} entries; give as many of each.")


def check_names(owner: Owner) -> Owner:
    """Have the constructor of this dataclass say of a name that no field has what was meant; raises `BadType`."""
    made = cast("Any", owner)
    construct, known = made.__init__, made.__dataclass_fields__

    @wraps(construct)
    def call(*args: Any, **kwargs: Any) -> None:
        for name in kwargs:
            if name not in known:
                raise BadType(f"{owner.__name__} has no parameter {name!r}.{did_you_mean(name, known)}")
        construct(*args, **kwargs)

    made.__init__ = call
    return owner


def check_methods(owner: Owner, unchecked: Collection[str] = ()) -> Owner:
    """Have the constructor and the public methods of this class checked, apart from those of these names."""
    for name, function in list(vars(owner).items()):
        is_public = name == "__init__" or not name.startswith("_")
        if is_public and isinstance(function, FunctionType) and name not in unchecked and _takes_something(function):
            setattr(owner, name, checked(function))
    return owner


def _takes_something(function: FunctionType) -> bool:
    """Besides `self`."""
    return function.__code__.co_argcount + function.__code__.co_kwonlyargcount > 1 or bool(
        function.__code__.co_flags & 12
    )


class _Plan(NamedTuple):
    """How a function is called in a message, and the checks of its parameters."""

    owner: str
    in_order: list[tuple[str, Check | None]]
    by_name: dict[str, Check | None]
    takes_any: bool


def _no_such(name: str, value: object) -> Fault | None:
    raise NotImplementedError


_NO_SUCH: Check = _no_such
#: Words that others have for one kind of parallelism: labkit's own is the one that is a parameter there.
_OF_ONE_KIND = (("concurrency", "workers", "threads", "processes", "parallel"), ("executor", "pool"))


def _plan(function: Callable[..., object]) -> _Plan:
    module, in_order, by_name, takes_any = sys.modules[function.__module__], [], {}, False
    for name, parameter in inspect.signature(function).parameters.items():
        annotation = parameter.annotation
        check = None if annotation is inspect.Parameter.empty else check_of(evaluated(annotation, module))
        match parameter.kind:
            case inspect.Parameter.VAR_POSITIONAL:
                in_order += [(name, check)] * 1000
            case inspect.Parameter.VAR_KEYWORD:
                takes_any = True
            case inspect.Parameter.KEYWORD_ONLY:
                by_name[name] = check
            case inspect.Parameter.POSITIONAL_ONLY:
                in_order.append((name, check))
            case _:
                in_order.append((name, check))
                if name != "self":
                    by_name[name] = check
    owner = function.__qualname__.removesuffix(".__init__")
    return _Plan(owner, in_order, by_name, takes_any)


def _place_of(name: str, function: Callable[..., object], known: Collection[str]) -> str:
    """A sentence that says where this parameter is given, or which was meant, with a space before it; or nothing."""
    module = sys.modules[function.__module__]
    for parameter, one in inspect.signature(function).parameters.items():
        annotation = None if one.default is one.empty else evaluated(one.annotation, module)
        for kind in (annotation, *get_args(annotation)):
            if name in _fields_of(kind):
                return f" It is a parameter of {kind.__name__}: give {parameter}={kind.__name__}({name}=…)."
            if isinstance(kind, type) and name == _in_lower_case(kind).partition("_")[0] and _fields_of(kind):
                return f" A {kind.__name__} is given as {parameter!r}."
    alike = next((words for words in _OF_ONE_KIND if name in words), ())
    return next((f" Did you mean {word!r}?" for word in alike if word in known), did_you_mean(name, known))


def _fields_of(kind: Any) -> Collection[str]:
    """The names of the fields of a dataclass or a struct; of other classes none."""
    return getattr(kind, "__struct_fields__", None) or getattr(kind, "__dataclass_fields__", None) or ()


def _in_lower_case(kind: type) -> str:
    return re.sub("(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


@cache
def _field_checks(kind: Any) -> dict[str, Check | None]:
    module = sys.modules[kind.__module__]
    found = {name: evaluated(annotation, module) for name, annotation in kind.__annotations__.items()}
    return {name: check_of(annotation) for name, annotation in found.items() if get_origin(annotation) is not ClassVar}


def _raise_if(fault: Fault | None, name: str, value: object, owner: str) -> None:
    if fault is not None:
        kind, instead = fault
        raise kind(f"{name!r} of {owner} is {_shown(value)}; give {instead}.")


def _shown(value: object) -> str:
    try:
        return reprlib.repr(value)
    except Exception:  # noqa: BLE001 - another's `repr`, or too many digits
        return f"a {type(value).__name__}"
