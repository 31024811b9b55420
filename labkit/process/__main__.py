"""`python -m labkit.process MODULE …`: what a `ChildProcess` runs. It calls `main(parent)` of the module.

The other arguments are the descriptors of the orders and of the reports, and the process id of the parent.
"""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import threading

from labkit.errors import LabkitError
from labkit.process.parent_channel import ParentChannel, let_go_of_streams, log_exception, log_line
from labkit.process.signals import ENDING, have_usual_effects

#: How long a process may take to end when its work is over, in seconds: a handler's thread may run for ever.
END_TIMEOUT = 5.0


def main() -> None:
    """Run the module, and end."""
    have_usual_effects((*ENDING, signal.SIGCHLD))
    module, orders, reports, pid = sys.argv[1:]
    sys.argv[1:] = []
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # line by line, so that nothing is lost when the process is killed; every text, as the parent reads it
            stream.reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")
    parent = ParentChannel(int(orders), int(reports), int(pid))
    _end_in_time(_run(module, parent), parent)


def _run(module: str, parent: ParentChannel) -> int:
    """Run the module; returns the status to end with."""
    try:
        importlib.import_module(module).main(parent)
    except LabkitError as error:
        log_line(str(error))
        parent.fail(error)
    except SystemExit as error:
        return _status(error)
    except BaseException as error:  # noqa: BLE001 - the parent tells the user
        log_exception()
        parent.fail(error)
    else:
        return 0
    return 1


def _status(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    log_line(str(error.code))  # as Python does
    return 1


def _end_in_time(status: int, parent: ParentChannel) -> None:
    timer = threading.Timer(END_TIMEOUT, os._exit, (status,))
    timer.daemon = True
    timer.start()
    parent.end(status)
    let_go_of_streams()
    sys.exit(status)


if __name__ == "__main__":
    main()
