"""The state of the loggers, which a test puts back as it was."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

ROOMS = ("labkit", "celery", "kombu")
INSIDE = tuple(f"{room}." for room in ROOMS)


@contextmanager
def loggers_put_back() -> Iterator[None]:
    """Those of each room, and of all that is in it, are put back as they were, and their files are closed."""
    before = {logger: _state(logger) for logger in _loggers()}
    yield
    for logger in _loggers():
        handlers, level, propagate, disabled = before.get(logger, ([], logging.NOTSET, True, False))
        if logger not in before:  # a module that was loaded meanwhile may have asked for it
            handlers = [handler for handler in logger.handlers if isinstance(handler, logging.NullHandler)]
        for handler in logger.handlers:
            if handler not in handlers:
                handler.close()
        logger.handlers[:], logger.propagate, logger.disabled = handlers, propagate, disabled
        if logger.level != level:
            logger.setLevel(level)


def _state(logger: logging.Logger) -> tuple[list[logging.Handler], int, bool, bool]:
    return logger.handlers[:], logger.level, logger.propagate, logger.disabled


def _loggers() -> list[logging.Logger]:
    inside = [name for name in logging.root.manager.loggerDict if name.startswith(INSIDE)]
    return [logging.getLogger(name) for name in (*ROOMS, *inside)]
