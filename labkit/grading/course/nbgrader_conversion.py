"""nbgrader's converters, run in this process; what they log becomes one sentence where they fail."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from nbgrader.converters import BaseConverter
from nbgrader.converters.base import NbGraderException
from traitlets.config import LoggingConfigurable

from labkit.grading.course.course_errors import ConversionFailed

#: The errors of this many are told; the others are counted.
_TOLD = 3


class ErrorsSaid(logging.Handler):
    """Keeps what is logged as an error: of a traceback the last line, which names the error, and other messages."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.raised: list[str] = []
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line that says what it is about."""
        lines = [line for line in record.getMessage().splitlines() if line.strip()]
        if lines and lines[0].startswith("Traceback"):
            self.raised.append(lines[-1])
        elif lines:
            self.said.append(lines[0])


def run_converter(converter: BaseConverter, what: str) -> None:
    """Let it convert all that it is for. Raises `ConversionFailed` if it fails with anything; the rest is done."""
    with _errors_of(converter, converter.coursedir) as said:
        try:
            converter.start()
        except (NbGraderException, SystemExit) as error:
            last = traceback.format_exception_only(error)[-1].strip()
            told = list(dict.fromkeys(said.raised or said.said)) or [last]
            more = f" (and {len(told) - _TOLD} more)" if len(told) > _TOLD else ""
            raise ConversionFailed(f"nbgrader could not make {what}: {'; '.join(told[:_TOLD])}{more}") from error


@contextmanager
def _errors_of(*configurables: LoggingConfigurable) -> Iterator[ErrorsSaid]:
    """Inside, these log nowhere else."""
    log, said = logging.Logger("labkit.nbgrader"), ErrorsSaid()
    log.addHandler(said)
    for one in configurables:
        one.log = log
    yield said
