"""Inside the sandbox, after the solution's cells: what student code is handed to do a task with, and how it is called.

`has(NAME)` tells whether there is a function of this name. `run(NAME, ARGUMENTS, SOCKET, SECONDS, LOGS)` calls it with
the arguments, then `work` and `stop`; or, where it logs, with `work` and the path of a log that is not there yet, and
hands back what stands in that. `work(task)` does one task: it tells the grader that the task begins, takes the time
that it takes, and tells that it is done; it may be called from any thread. Where the grader refuses the task it raises
kombu's `OperationalError`, as Celery does when its broker is away. `stop` is an event of `threading` that is set when
the worker is to stop. Whoever tells the grader something else than that has told a wrong answer, and no more.
`mend_consumers` is called before all of that.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import threading
import time
from typing import Any

_LONGEST = 1_000
#: How much of a log is handed back, in characters.
LONGEST_LOG = 100_000


class Effects:
    """The way to the grader: a connection for each thread, since each waits for its own answers."""

    def __init__(self, path: str, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self._own = threading.local()

    def work(self, task: str) -> None:
        """Do this task; returns when it is done. Raises `OperationalError` if it is refused."""
        if not isinstance(task, str):
            raise TypeError(f"work() takes the text of a task, not a {type(task).__name__}")
        self._tell("began", task)
        time.sleep(self._seconds)
        self._tell("done", task)

    def follow_orders(self, stop: threading.Event) -> None:
        """Set the event when the grader says so, or is gone."""
        connection = self._connection()
        connection.sendall(b'["orders", ""]\n')
        connection.recv(16)
        stop.set()

    def _tell(self, what: str, task: str) -> None:
        connection = self._connection()
        connection.sendall(json.dumps([what, task[:_LONGEST]]).encode() + b"\n")
        answer = connection.recv(16)
        if not answer:
            raise ConnectionError("the grader takes no more word of tasks")
        if answer == b"no\n":
            time.sleep(self._seconds)  # as it takes to find out
            from kombu.exceptions import OperationalError

            raise OperationalError("the other broker is away")

    def _connection(self) -> socket.socket:
        if getattr(self._own, "owner", None) != os.getpid():  # a process that was forked needs one of its own
            self._own.owner = os.getpid()
            self._own.connection = socket.socket(socket.AF_UNIX)
            self._own.connection.connect(self._path)
        return self._own.connection  # type: ignore[no-any-return]


def mend_consumers() -> None:
    """kafka-python forgets a join that ends between two polls, and that consumer gets no partitions, whatever code uses
    it. No student is to pay for that, so it is mended here as in labkit's own consumers.
    """
    import kafka

    from labkit.taskqueue.transport.kafka_python.overrides import keep_join

    poll = kafka.KafkaConsumer.poll

    def mended(self: Any, *arguments: Any, **options: Any) -> Any:
        if self.config["group_id"] is not None:
            keep_join(self)
        return poll(self, *arguments, **options)

    kafka.KafkaConsumer.poll = mended


def has(name: str) -> bool:
    """Whether the cells have defined a function of this name."""
    return callable(getattr(sys.modules["__main__"], name, None))


def run(name: str, arguments: list[object], path: str, seconds: float, logs: bool) -> Any:
    """Call the student's function; what it returns, or its log."""
    effects, stop = Effects(path, seconds), threading.Event()
    threading.Thread(target=effects.follow_orders, args=(stop,), daemon=True).start()
    function = getattr(sys.modules["__main__"], name)
    if not logs:
        return function(*arguments, effects.work, stop)
    log = os.path.join(tempfile.mkdtemp(), "processed_jobs.log")  # noqa: PTH118
    function(*arguments, effects.work, log)
    if not os.path.exists(log):  # noqa: PTH110
        return None
    with open(log, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
        return file.read(LONGEST_LOG)
