"""The command line: `labkit …`. Thin: every command is one call into the rooms below."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from labkit.early_interrupt import take_over
from labkit.errors import LabkitError, ServerFailed
from labkit.plain_text import lines, one_line
from labkit.process.signals import INTERRUPTED, have_usual_effects

#: The descriptor of standard error.
_LAST_STANDARD = 2


def main() -> None:
    """Run the command line; a `LabkitError` becomes one paragraph and exit status 1, Ctrl-C 130.

    So does what the system says about a file, a folder or a disk, since those are the user's and no defect. Where the
    pipe for the output is closed, the status is 1.
    """
    _open_what_was_closed()
    have_usual_effects((signal.SIGCHLD,))  # what else is ignored is so on purpose, as by nohup
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal need not know every character
    try:
        take_over()
        _run()
    except LabkitError as error:
        _say(lines(str(error)) if isinstance(error, ServerFailed) else one_line(str(error)))  # it may quote a log
        _end(1)
    except OSError as error:
        if error.strerror is None or isinstance(error, ConnectionError | ChildProcessError | ProcessLookupError):
            raise
        _say(one_line(_of_system(error)))
        _end(1)
    except KeyboardInterrupt:
        _end(INTERRUPTED)


def _run() -> None:
    """Python itself would write what is left of the output only at its very end, and show what it could not."""
    from labkit.cli.commands import app

    try:
        app()
    except SystemExit:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            _end(1)  # whoever has closed the pipe knows of it
        raise


def _end(status: int) -> NoReturn:
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError, ValueError):  # it has no descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def _open_what_was_closed() -> None:
    """Let standard streams that were closed (`>&-`) lead nowhere: files and connections would get their numbers, and
    with them what is printed.
    """
    number = os.open(os.devnull, os.O_RDWR)
    while number <= _LAST_STANDARD:
        os.set_inheritable(number, True)
        number = os.open(os.devnull, os.O_RDWR)
    os.close(number)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - for as long as the program runs


def _of_system(error: OSError) -> str:
    if error.filename is None:
        return f"The system says: {error.strerror}. Is there room where this command writes, also for what it prints?"
    return (
        f"{error.filename} cannot be used: {error.strerror}. LABKIT_RESULTS_DIR, LABKIT_DATA_DIR and LABKIT_CACHE_DIR "
        "say in which folders labkit reads and writes."
    )


def _say(words: str) -> None:
    from labkit.cli.lab_commands import for_this_lab
    from labkit.cli.paragraph import say

    say(f"labkit: {for_this_lab(words)}", sys.stderr)
