"""`python -m labkit.taskqueue.engine.handler_process`: runs handlers in a process of its own, one after the other.

The first line on standard input says what the work is, each further line is a task, as JSON; each is answered by one
line on standard output: {} when the handler has returned, {"failure": …} when it has raised. When the input ends, the
process ends at once, also in the middle of a handler: whoever asked for the result is gone.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from queue import SimpleQueue
from typing import IO, Any

from msgspec import to_builtins
from msgspec.json import Decoder

from labkit.errors import LabkitError
from labkit.taskqueue.engine.failure import failure_of
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.outcome import outcome_of
from labkit.taskqueue.task import Task


def main() -> None:
    """Read the work, then task after task."""
    answers, sys.stdout = sys.stdout, sys.stderr  # handlers may print
    lines: SimpleQueue[str] = SimpleQueue()
    orders = os.fdopen(os.dup(sys.stdin.fileno()))
    threading.Thread(target=_read, args=(orders, lines), daemon=True).start()
    handler = Work.of(json.loads(lines.get())).function()
    read_task = Decoder(Task).decode
    _answer(answers, {})
    while True:
        task = read_task(lines.get())
        error = outcome_of(handler, task)
        _answer(answers, {} if error is None else {"failure": to_builtins(failure_of(error))})


def _read(orders: IO[str], lines: SimpleQueue[str]) -> None:
    for line in orders:
        lines.put(line)
    os._exit(0)


def _answer(answers: IO[str], message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    try:
        main()
    except LabkitError as error:
        sys.exit(str(error))
