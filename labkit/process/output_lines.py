"""What processes write, in whole lines on the standard output of this one: each line is of one process."""

from __future__ import annotations

import sys
import threading
from contextlib import AbstractContextManager, suppress

from labkit.process.output_log import outputs_shown


class OutputLines:
    """Puts together what comes in parts, on the thread of each process."""

    def __init__(self) -> None:
        self._own = threading.local()

    def take(self, data: bytes) -> None:
        """Print what are whole lines now; nothing more comes after an empty part."""
        whole, end, rest = (getattr(self._own, "rest", b"") + data).rpartition(b"\n")
        if not data and rest:
            whole, end, rest = rest, b"\n", b""
        self._own.rest = rest
        if end:
            with suppress(OSError, ValueError):  # the output is closed, which is no reason to hear no more of them
                sys.stdout.write(whole.decode(errors="replace") + "\n")
                sys.stdout.flush()


def printed_outputs() -> AbstractContextManager[None]:
    """Inside, what processes write is printed here too."""
    return outputs_shown(OutputLines().take)
