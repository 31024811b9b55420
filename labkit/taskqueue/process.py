"""`python -m labkit.taskqueue.process`: one worker in a process of its own, driven by `ProcessMember`.

The job comes as one JSON line on standard input. Records and assignments go out as JSON lines on standard
output. When the input ends, because the parent asks for it or is gone, the worker stops.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from msgspec.structs import asdict as to_dict

from labkit.errors import HandlerNotFound, LabkitError
from labkit.lab.connection import Connection
from labkit.taskqueue.service import parse_service
from labkit.taskqueue.topics import Topic
from labkit.taskqueue.transport import connect_transport
from labkit.taskqueue.worker import Handler, Worker


def describe_handler(handler: Handler) -> str:
    """`module:function` for a handler that another process can import; raises `HandlerNotFound`."""
    module, name = getattr(handler, "__module__", None), getattr(handler, "__qualname__", None)
    if not module or not name or module == "__main__" or "<" in name:
        raise HandlerNotFound(
            f"{handler!r} lives only in this process, so a worker process cannot import it. "
            "Put the function into a module of its own, or use workers in threads."
        )
    return f"{module}:{name}"


def find_handler(name: str) -> Handler:
    """The function that `module:function` names; raises `HandlerNotFound`."""
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise HandlerNotFound(f"The handler {name!r} could not be imported: {error}.") from error
    if not callable(found):
        raise HandlerNotFound(f"{name} is not a function.")
    return found  # type: ignore[no-any-return]


def connection_to_job(connection: Connection) -> dict[str, Any]:
    """The connection as plain JSON values."""
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(connection).items()}


def _connection_from_job(job: dict[str, Any]) -> Connection:
    paths = {key: Path(value) for key, value in job.items() if key.endswith("_file") and value is not None}
    return Connection(**{**job, **paths})


Say = Callable[[dict[str, Any]], None]


def _speaker(out: IO[str]) -> Say:
    lock = threading.Lock()

    def say(message: dict[str, Any]) -> None:
        with lock:
            out.write(json.dumps(message) + "\n")
            out.flush()

    return say


def _worker(job: dict[str, Any], say: Say) -> Worker:
    transport = connect_transport(_connection_from_job(job["connection"]), job["transport"])
    handler = find_handler(job["handler"]) if job["handler"] else parse_service(job["service"]).handler(job["seed"])
    return Worker(
        Topic(name=job["topic"], partitions=job["partitions"], transport=transport, prefix=job["prefix"]),
        name=job["name"],
        group=job["group"],
        handler=handler,
        session_timeout=job["session_timeout"],
        on_record=lambda record: say(to_dict(record)),
        on_assignment=lambda partitions: say({"assigned": partitions}),
    )


def _listen(orders: IO[str], worker: Worker, say: Say) -> None:
    for _ in orders:
        say({"echo": True})
    worker.stop()


def main() -> None:
    """Read the job, work until the input ends."""
    # handlers may print; only the reports go to the real standard output
    out, sys.stdout = sys.stdout, sys.stderr
    say = _speaker(out)
    # not sys.stdin: a thread that waits on it would block the interpreter's end
    orders = os.fdopen(os.dup(sys.stdin.fileno()))
    worker = _worker(json.loads(orders.readline()), say)
    threading.Thread(target=_listen, args=(orders, worker, say), daemon=True).start()
    worker.run()


if __name__ == "__main__":
    try:
        main()
    except LabkitError as error:
        sys.exit(str(error))
