"""`python -m labkit.taskqueue.worker_process`: one worker in a process of its own, driven by `ProcessMember`.

The job comes as one JSON line on standard input. Records and assignments go out as JSON lines on standard
output. When the input ends, because the parent asks for it or is gone, the worker stops.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from msgspec import convert
from msgspec.structs import asdict as to_dict

from labkit.errors import LabkitError
from labkit.lab.connection import Connection
from labkit.logs import configure
from labkit.settings import load_settings
from labkit.taskqueue.base_worker import BaseWorker
from labkit.taskqueue.engine.handler import Work
from labkit.taskqueue.engine.worker_config import WorkerConfig
from labkit.taskqueue.members import worker_class
from labkit.taskqueue.topics import Topic
from labkit.taskqueue.transport import connect_transport


def connection_to_job(connection: Connection) -> dict[str, Any]:
    """The connection as plain JSON values."""
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(connection).items()}


def _connection_from_job(job: dict[str, Any]) -> Connection:
    paths = {key: Path(value) for key, value in job.items() if key.endswith("_file") and value is not None}
    return Connection(**{**job, **paths})


#: How long a thread may run before another gets its turn, in seconds. With Python's 5 ms, a thread that parses what
#: was fetched would keep handlers waiting longer than many of them work.
SWITCH_INTERVAL = 0.000_05

Say = Callable[[dict[str, Any]], None]


def _speaker(out: IO[str]) -> Say:
    lock = threading.Lock()

    def say(message: dict[str, Any]) -> None:
        with lock:
            out.write(json.dumps(message) + "\n")
            out.flush()

    return say


def _worker(job: dict[str, Any], say: Say) -> BaseWorker:
    transport = connect_transport(_connection_from_job(job["connection"]), job["transport"])
    config = convert(job["config"], WorkerConfig)
    return worker_class(config.mode)(
        Topic(name=job["topic"], partitions=job["partitions"], transport=transport, prefix=job["prefix"]),
        name=job["name"],
        group=job["group"],
        work=Work.of(job["work"]),
        config=config,
        on_record=lambda record: say(to_dict(record)),
        on_assignment=lambda partitions: say({"assigned": partitions}),
    )


def _listen(orders: IO[str], worker: BaseWorker, say: Say) -> None:
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
    job = json.loads(orders.readline())
    if job["log_dir"] is not None:
        configure("worker", load_settings(), Path(job["log_dir"]))
    worker = _worker(job, say)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    sys.setswitchinterval(SWITCH_INTERVAL)
    threading.Thread(target=_listen, args=(orders, worker, say), daemon=True).start()
    worker.run()


if __name__ == "__main__":
    try:
        main()
    except LabkitError as error:
        sys.exit(str(error))
