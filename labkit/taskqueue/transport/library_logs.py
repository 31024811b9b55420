"""Where the client libraries' own messages go: to `labkit.transport`, and not to the terminal by themselves."""

from __future__ import annotations

import logging

#: The logger that gets what the client libraries have to say.
LOGGER = logging.getLogger("labkit.transport")
# without any handler, Python prints warnings to standard error; what users must know comes as an exception
LOGGER.addHandler(logging.NullHandler())


class _Forward(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if LOGGER.isEnabledFor(record.levelno):
            LOGGER.handle(record)


def route_logs(library: str) -> None:
    """Send what this library logs to `labkit.transport`, under the library's own names."""
    logger = logging.getLogger(library)
    if not any(isinstance(handler, _Forward) for handler in logger.handlers):
        logger.addHandler(_Forward())
        logger.propagate = False
