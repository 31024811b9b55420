"""Inside the sandbox: runs the student's cells one by one in one namespace, and calls what they have defined.

A script of the standard library only: `kernel_program.py BYTES`, how long an answer may be. An order is a line of JSON,
`{"id": 1, "run": CODE}` or `{"id": 2, "call": NAME, "arguments": [...]}`; its answer has the same id and one of
`returned`, `error` with `line`, and `unfit`. It runs in the student's process, so nothing that it says is certain.
"""

from __future__ import annotations

import fcntl
import io
import json
import linecache
import os
import sys
import traceback
import types
from contextlib import suppress
from typing import Any

ORDERS, REPORTS = 64, 65
#: Where the descriptors are put, away from the numbers that code tries.
FIRST_DESCRIPTOR = 70
#: How deep a value may be nested, and how many parts it may have.
MAX_DEPTH, MAX_PARTS = 32, 100_000
#: How much of an error is told, in characters.
MAX_ERROR = 10_000
#: The file name of a cell, by its number.
CELL = "<cell {}>"


class _NotPlain(Exception):
    """The value is none that can be handed over."""


class _Cells:
    """The student's module: what the cells have defined so far."""

    def __init__(self) -> None:
        self._module = types.ModuleType("__main__")
        sys.modules["__main__"] = self._module
        self._count = 0

    def run(self, code: str) -> dict[str, object]:
        self._count += 1
        name = CELL.format(self._count)
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        try:
            exec(compile(code, name, "exec"), self._module.__dict__)  # noqa: S102
        except BaseException as error:  # noqa: BLE001 - whatever student code raises is its error
            return _error(error)
        return {"returned": None}

    def call(self, name: str, arguments: list[object]) -> dict[str, object]:
        function = self._module.__dict__.get(name)
        if not callable(function):
            what = "nothing" if function is None else f"a {type(function).__name__}"
            return {"unfit": f"The cells define {what} by the name of {name}, and a function is needed."}
        try:
            return {"returned": plain(function(*arguments))}
        except _NotPlain as error:
            return {"unfit": f"{name} returned {error}"}
        except BaseException as error:  # noqa: BLE001
            return _error(error)


def plain(value: object) -> object:
    """The value as JSON can write it: None, truth values, numbers, text, lists (and tuples), and dicts by text.

    Raises `_NotPlain`, which says what else it is.
    """
    left = [MAX_PARTS]

    def convert(value: Any, depth: int) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise _NotPlain(f"more than {MAX_PARTS} parts.")
        if depth > MAX_DEPTH:
            raise _NotPlain(f"something nested deeper than {MAX_DEPTH} levels.")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int.__pos__(value)  # without what a class of the student's makes of it
        if isinstance(value, float):
            return float.__pos__(value)
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, (list, tuple)):
            return [convert(part, depth + 1) for part in value]
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    raise _NotPlain(f"a dict with a {type(key).__name__} for a key, where text is needed.")
            return {str.__str__(key): convert(part, depth + 1) for key, part in value.items()}
        raise _NotPlain(
            f"a {type(value).__name__}, and only None, bool, int, float, str, list, tuple and dict can be handed over."
        )

    return convert(value, 0)


def _error(error: BaseException) -> dict[str, object]:
    """What student code has raised, with the line of the cell where it did."""
    trace = error.__traceback__.tb_next if error.__traceback__ is not None else None
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except BaseException:  # noqa: BLE001 - a class of the student's
        text = f"{type(error).__name__}, which cannot be told"
    line = error.lineno if isinstance(error, SyntaxError) else None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith("<cell "):
            line = trace.tb_lineno
        trace = trace.tb_next
    return {"error": text[-MAX_ERROR:], "line": line}


def _taken(number: int) -> int:
    """The descriptor under a number of its own, which no program inherits."""
    own = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR)
    os.close(number)
    return own


def main(longest: int) -> None:
    """Answer orders until there are none."""
    orders, reports = _taken(ORDERS), _taken(REPORTS)
    owner, cells, words = os.getpid(), _Cells(), b""
    dumps, loads, read, write, getpid, leave = json.dumps, json.loads, os.read, os.write, os.getpid, os._exit

    def tell(answer: dict[str, object]) -> None:
        with suppress(BaseException):  # the student may have put anything in its place
            sys.stdout.flush()
        if getpid() != owner:  # a copy that a cell has forked
            leave(0)
        line = dumps(answer).encode() + b"\n"
        if len(line) > longest:
            line = dumps({"id": answer["id"], "unfit": f"The value is larger than {longest} bytes."}).encode() + b"\n"
        rest = memoryview(line)
        while rest:
            rest = rest[write(reports, rest) :]

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")  # in order with what programs write
    tell({"ready": True, "id": 0})
    while True:
        part = read(orders, 65536)
        if not part:
            leave(0)
        *lines, words = (words + part).split(b"\n")
        for line in lines:
            order = loads(line)
            answer = cells.run(order["run"]) if "run" in order else cells.call(order["call"], order["arguments"])
            tell({"id": order["id"], **answer})


if __name__ == "__main__":
    main(int(sys.argv[1]))
