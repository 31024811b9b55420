"""What unit tests share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def labkits_logger() -> Iterator[logging.Logger]:
    """The loggers are put back as they were, and their files are closed: what a test, or a command in it, has them
    write to is closed with the test.
    """
    loggers = [logging.getLogger(name) for name in ("labkit", "celery", "kombu")]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield loggers[0]
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        for handler in logger.handlers:
            if handler not in handlers:
                handler.close()
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)
