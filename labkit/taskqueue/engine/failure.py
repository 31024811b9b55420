"""What an error says, told safely: a handler may raise anything, and telling of it must never fail.

An error's own code is not trusted. Its `str()` may raise, return 3 MB or half a character, its causes may go round in a
circle, and its class may have any name. What is told is bounded, and is plain text that UTF-8 can hold.
"""

from __future__ import annotations

import linecache
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar

from msgspec import Struct

from labkit.errors import LabkitError, TryAgainLater
from labkit.logs.safe_logger import safe_logger
from labkit.plain_text import InLines

#: So many characters of a message are told, of the name of a class, and of everything that is told of one error.
MOST_OF_MESSAGE, MOST_OF_NAME, MOST_OF_WHOLE = 2_000, 100, 8_000
#: So many lines of a traceback are told, from each of its ends, so many notes and causes, and errors of a group.
MOST_FRAMES, MOST_NOTES, MOST_CAUSES = 6, 5, 5
#: So many kinds of failures are told apart; what comes on top is counted together, and not shown whole.
MOST_KINDS = 200

#: Control characters are written as escapes, but for the end of a line and the tabulator.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
#: What comes first in a traceback is labkit's way to the handler, which is no news.
_LABKIT = str(Path(__file__).parents[2])

# these slots are read past the error's own class, which may have its own idea of them
_name_of: Callable[[type], str] = type.__dict__["__name__"].__get__
_traceback_of: Callable[[BaseException], TracebackType | None] = BaseException.__dict__["__traceback__"].__get__
_cause_of: Callable[[BaseException], BaseException | None] = BaseException.__dict__["__cause__"].__get__
_context_of: Callable[[BaseException], BaseException | None] = BaseException.__dict__["__context__"].__get__
_is_without_context: Callable[[BaseException], bool] = BaseException.__dict__["__suppress_context__"].__get__
_members_of: Callable[[BaseExceptionGroup[Any]], tuple[BaseException, ...]] = BaseExceptionGroup.__dict__[
    "exceptions"
].__get__

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

log = safe_logger("labkit.worker")


class Failure(Struct, frozen=True, kw_only=True):
    """One error, told. It crosses the border of a process.

    `text` is its class and message, `details` are the lines that led to it, its notes and its causes. Errors are of one
    `kind` that have the same class and come from the same line. `no_attempt`: see `is_no_attempt`.
    """

    text: str
    details: str
    kind: str
    no_attempt: bool = False

    @property
    def whole(self) -> str:
        """Everything that is told."""
        return f"{self.text}\n{self.details}" if self.details else self.text


class RemoteError(Exception):
    """What a handler raised in another process, as it was told there."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


def failure_of(error: BaseException) -> Failure:
    """This error, told. Never raises."""
    if type(error) is RemoteError:
        return error.failure
    return Failure(text=_text(error), details=_details(error), kind=_kind(error), no_attempt=is_no_attempt(error))


def describe(error: BaseException) -> str:
    """Its class and its message, as dead letters hold it. Never raises."""
    return error.failure.text if type(error) is RemoteError else _text(error)


def describe_with_place(error: BaseException) -> str:
    """The same in one line, with the file and the line that raised it, unless that is Python's own import, or
    labkit, which has called what cannot be called so.
    """
    text, lines = " ".join(describe(error).split()), _own_lines(error)
    if issubclass(type(error), SyntaxError) or not lines:  # the former says it itself
        return text
    frame, number = lines[-1]
    file = frame.f_code.co_filename
    return text if "importlib" in file or file.startswith(_LABKIT) else f"{text} ({file}, line {number})"


def foreign_function(
    who: str,
    function: Callable[Arguments, Answer],
    *,
    raises: type[LabkitError] = LabkitError,
    passing: tuple[type[Exception], ...] = (LabkitError,),
) -> Callable[Arguments, Answer]:
    """The same function, of somebody else's: what it raises becomes an error of labkit's that names it and the place.

    `who` is told as `The policy 'mine'`. Errors of the kinds in `passing` go on as they are.
    """

    def told(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        try:
            return function(*args, **kwargs)
        except passing:
            raise
        except Exception as error:
            raise raises(f"{who} raised {describe_with_place(error)}.") from error

    return told


def is_no_attempt(error: BaseException) -> bool:
    """Whether it is no fault of the handler: the task is worked on elsewhere, or labkit lacks something for it."""
    if type(error) is RemoteError:
        return error.failure.no_attempt
    return issubclass(type(error), TryAgainLater)  # isinstance would ask the error for its class


def printable(text: str, most: int = MOST_OF_MESSAGE) -> str:
    """This text as UTF-8 can hold it, at most so many characters of it; raises TypeError if it is none."""
    cut = str.__getitem__(text, slice(0, most))
    plain = str.encode(cut, "utf-8", "backslashreplace").decode().translate(_ESCAPES)
    size = str.__len__(text)
    return plain if size <= most else f"{plain}… ({size:,} characters)"


class FailureCounter:
    """Tells the first failure of each kind whole and counts the further ones; may be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._taken: dict[str, int] = {}

    def tell(self, error: BaseException) -> tuple[str, int]:
        """What to say of it, and the how-manieth of its kind it is. Never raises."""
        kind = error.failure.kind if type(error) is RemoteError else _kind(error)
        with self._lock:
            is_known = kind in self._counts or len(self._counts) < MOST_KINDS
            kind = kind if is_known else "others"
            number = self._counts[kind] = self._counts.get(kind, 0) + 1
        return (failure_of(error).whole if is_known and number == 1 else describe(error)), number

    def take_repeated(self) -> dict[str, int]:
        """How many came after the first of their kind, by kind, and have not been taken before."""
        with self._lock:
            repeated = {kind: number - self._taken.get(kind, 1) for kind, number in self._counts.items()}
            self._taken = dict(self._counts)
        return {kind: number for kind, number in repeated.items() if number > 0}


def is_news(number: int) -> bool:
    """Whether the so-manieth failure of its kind is worth a warning: the first, the tenth, the hundredth, …"""
    return str(number).rstrip("0") == "1"


def shielded(
    call: Callable[Arguments, object], what: str, *, is_interruptible: bool = False
) -> Callable[Arguments, None]:
    """This call, for those who must not end with it: what it raises is reported, and counted from the second time on.

    `what` names it in the report. Of one that `is_interruptible` a Ctrl-C in the main thread comes through.
    """
    failures = FailureCounter()

    def shield(*args: Arguments.args, **options: Arguments.kwargs) -> None:
        try:
            call(*args, **options)
        except BaseException as error:
            if is_interruptible and type(error) is KeyboardInterrupt and current_thread() is main_thread():
                raise
            text, number = failures.tell(error)
            if is_news(number):
                log.error("%s failed, for the %d. time; the work goes on: %s", what, number, InLines(text))

    return shield


def _text(error: BaseException) -> str:
    name, message = _class_name(error), ""
    try:
        message = printable(str(error))
    except BaseException as failed:  # noqa: BLE001 - its own code
        return f"{name}: its message cannot be shown, since str() of it raised {_class_name(failed)}"
    return f"{name}: {message}" if message else name


def _class_name(error: BaseException) -> str:
    return printable(_name_of(type(error)), MOST_OF_NAME).replace("\n", "\\n") or "(an error without a name)"


def _kind(error: BaseException) -> str:
    lines = _own_lines(error)
    ends = [f"{frame.f_code.co_filename}:{number}" for frame, number in (lines[:1] + lines[-1:])]
    return printable(" ".join([_class_name(error), *dict.fromkeys(ends)])) if ends else _text(error)


def _details(error: BaseException) -> str:
    return _safely(lambda: printable("\n".join(_story(error)), MOST_OF_WHOLE), instead="")


def _story(error: BaseException) -> Iterator[str]:
    """The lines that led to it, its notes, and the same of its causes."""
    said, current = {id(error)}, error
    yield from _where(error)
    for _ in range(MOST_CAUSES):
        cause, why = _cause_of(current), "caused by"
        if cause is None and not _is_without_context(current):
            cause, why = _context_of(current), "raised while handling"
        if cause is None:
            return
        if id(cause) in said:
            yield f"{why} itself"
            return
        said.add(id(cause))
        yield f"{why} {_text(cause)}"
        yield from _where(cause)
        current = cause
    yield "… and so on"


def _where(error: BaseException) -> Iterator[str]:
    lines = _own_lines(error)
    for place, (frame, number) in enumerate(lines):
        if len(lines) > 2 * MOST_FRAMES and place == MOST_FRAMES:
            yield f"  … {len(lines) - 2 * MOST_FRAMES:,} more lines"
        if place < MOST_FRAMES or place >= len(lines) - MOST_FRAMES:
            yield _safely(partial(_line, frame, number), instead=f"  line {number}")
    for note in _notes(error):
        yield f"  {note}"
    if issubclass(type(error), BaseExceptionGroup):
        members = _members_of(error)  # type: ignore[arg-type]  # issubclass narrows no value
        for member in members[:MOST_CAUSES]:
            yield f"  with {_text(member)}"


def _notes(error: BaseException) -> list[str]:
    def read() -> list[str]:
        return [printable(note) for note in islice(getattr(error, "__notes__", ()), MOST_NOTES)]

    try:
        return read()
    except BaseException:  # noqa: BLE001 - notes are an attribute that may hold anything
        return ["(its notes cannot be shown)"]


def _own_lines(error: BaseException) -> list[tuple[FrameType, int]]:
    """The lines that led to it, from the handler's own one on."""
    lines, trace = [], _traceback_of(error)
    while trace is not None:
        lines.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    own = (place for place, (frame, _) in enumerate(lines) if not frame.f_code.co_filename.startswith(_LABKIT))
    return lines[next(own, len(lines) - 1) :] if lines else []


def _line(frame: FrameType, number: int) -> str:
    code = frame.f_code
    place = f'  File "{code.co_filename}", line {number}, in {code.co_name}'
    text = linecache.getline(code.co_filename, number, frame.f_globals).strip()
    return printable(f"{place}\n    {text}" if text else place, 500)


def _safely(make: Callable[[], str], *, instead: str) -> str:
    try:
        return make()
    except BaseException:  # noqa: BLE001 - see the head of this module
        return instead
