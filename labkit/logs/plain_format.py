"""The lines of a log hold what others have sent as plain text: nothing in them ends a line or moves a cursor.

What is put into a line is escaped, ends of lines too. Where labkit itself tells something in several lines, as a
traceback, those after the first are indented, so that nobody can make up a line of the log.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from labkit.lab_hints import USUAL, with_name
from labkit.plain_text import InLines, in_json, lines, one_line

#: What goes before each further line.
_INDENT = "\n    "


def write_plain(handler: logging.Handler, lab: str = USUAL) -> None:
    """Have the handler write no more than plain text, whatever its formatter makes of a record.

    Commands about the lab that a line names say which one, if it is not the usual one.
    """
    formatter = handler.formatter or logging.Formatter()
    handler.setFormatter(formatter)
    if getattr(formatter, "is_plain", False):
        return
    formatter.is_plain = True  # type: ignore[attr-defined]  # several handlers share one
    if type(formatter).format is logging.Formatter.format:
        _format_in_parts(formatter, lab)
    else:  # as JSON, with escapes of its own
        whole = formatter.format
        formatter.format = lambda record: in_json(whole(record))  # type: ignore[method-assign]


def _format_in_parts(formatter: logging.Formatter, lab: str) -> None:
    message, told, stack = formatter.formatMessage, formatter.formatException, formatter.formatStack

    def format_message(record: logging.LogRecord) -> str:
        as_given = record.message
        record.message = lines(str(record.msg) % _plain(record.args) if record.args else as_given)
        try:
            return with_name(message(record), lab).replace("\n", _INDENT)
        finally:
            record.message = as_given

    def format_exception(ei: Any) -> str:
        return lines(told(ei))

    def format_stack(stack_info: str) -> str:
        return lines(stack(stack_info))

    formatter.formatMessage = format_message  # type: ignore[method-assign]
    formatter.formatException = format_exception  # type: ignore[method-assign]
    formatter.formatStack = format_stack  # type: ignore[method-assign]


class _PlainString(str):
    """A text that is escaped where it is put into a line; Python's own `%r` does that already."""

    __slots__ = ()

    def __str__(self) -> str:
        return one_line(str.__str__(self))


def _plain(args: object) -> object:
    if isinstance(args, Mapping):
        return {name: _of(value) for name, value in args.items()}
    return tuple(map(_of, args)) if isinstance(args, tuple) else args


def _of(value: object) -> object:
    if isinstance(value, InLines):
        return lines(value)
    return _PlainString(value) if isinstance(value, str | BaseException | PurePath) else value
