"""A log that cannot be written ends nobody."""

from __future__ import annotations

import logging
import sys
import threading
from io import StringIO

import pytest

from labkit.logs.safe_logger import safe_logger


class Broken(logging.Handler):
    """What a user's own configuration may name."""

    error: BaseException = OSError("the disk is full")

    def handle(self, record):
        raise self.error


@pytest.fixture
def broken():
    logger, handler = logging.getLogger("labkit.some.room"), Broken()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_a_line_is_written_as_it_is_given_with_the_place_that_wrote_it(caplog):
    safe_logger("labkit.some.room").warning("%d of %s", 1, "many", extra={"task": "7"})
    (line,) = caplog.records
    assert (line.getMessage(), line.task, line.name) == ("1 of many", "7", "labkit.some.room")
    assert line.filename == "test_safe_logger.py"


def test_a_line_that_cannot_be_written_is_told_on_standard_error(broken, capsys):
    safe_logger("labkit.some.room").warning("something")
    assert capsys.readouterr().err == "labkit could not write to its log: OSError: the disk is full\n"


@pytest.mark.parametrize("stderr", [None, "closed"])
def test_nor_does_it_matter_if_standard_error_is_gone(broken, monkeypatch, stderr):
    closed = StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", None if stderr is None else closed)
    safe_logger("labkit.some.room").warning("something")


def test_arguments_that_do_not_fit_a_line_are_no_error(capsys):
    safe_logger("labkit.some.room").warning("%d", "no number")


def test_an_interrupt_of_the_main_thread_is_none_of_the_log(broken):
    broken.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        safe_logger("labkit.some.room").warning("something")
    other = threading.Thread(target=safe_logger("labkit.some.room").warning, args=("something",))
    other.start()
    other.join()
