"""Ctrl-C while the command line is still being imported ends it without a word, as it ends any other program.

Imported before anything else of labkit's: until then, and while it goes on, Python would show where in its imports it
was. Where labkit is a library, a program's signals stay as they are.
"""

from __future__ import annotations

import signal
import sys
from pathlib import PurePath


def _is_command() -> bool:
    """Whether this process is `labkit …` or `python -m labkit …`; Python says `-m` until it has found the module."""
    name, given = (sys.argv or [""])[0], sys.orig_argv
    if name == "-m":
        return "-m" in given and given[given.index("-m") + 1 :][:1] == ["labkit"]
    return PurePath(name).name == "labkit"


def take_over() -> None:
    """From here on the command line hears Ctrl-C itself."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if _is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # who ignores it does so on purpose
    signal.signal(signal.SIGINT, signal.SIG_DFL)
