"""What unit tests share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.unit.logger_state import loggers_put_back


@pytest.fixture(autouse=True)
def labkits_logger() -> Iterator[logging.Logger]:
    """What a test, or a command in it, has the loggers write, and where to, ends with the test."""
    with loggers_put_back():
        yield logging.getLogger("labkit")
