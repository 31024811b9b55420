"""Loggers that never fail: what handles the lines is the user's, and no reason for a worker to end."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

from labkit.plain_text import one_line


class SafeLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose lines get lost, rather than that whoever writes one ends with it; standard error is told then."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """The line as it is given."""
        return msg, kwargs

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Write a line, if that can be done."""
        try:
            super().log(level, msg, *args, **{**kwargs, "stacklevel": kwargs.get("stacklevel", 1) + 1})
        except BaseException as error:
            if issubclass(type(error), KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise  # that was not the log
            with suppress(Exception):  # there is nobody left to tell
                sys.stderr.write(f"labkit could not write to its log: {type(error).__name__}: {one_line(str(error))}\n")


def safe_logger(name: str) -> SafeLogger:
    """The logger of that name, made safe."""
    return SafeLogger(logging.getLogger(name))
