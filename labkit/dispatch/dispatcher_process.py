"""`python -m labkit.dispatch.dispatcher_process`: a Celery worker or a dispatcher in a process of its own.

The job comes as one JSON line on standard input. When the input ends, because the parent asks for it or is gone, the
process finishes what it has begun and ends.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import IO, Any

from labkit.errors import LabkitError
from labkit.logs import configure
from labkit.settings import load_settings


def main() -> None:
    """Read the job, do it until the input ends."""
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # handlers print, and so does Celery
    # its last words are to say why it ended; Celery keeps its errors from the handler of last resort
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    orders = os.fdopen(os.dup(sys.stdin.fileno()))
    job = json.loads(orders.readline())
    {"celery": _work, "dispatcher": _dispatch}[job["role"]](job, orders)


def _work(job: dict[str, Any], orders: IO[str]) -> None:
    from labkit.celery_app.celery_worker import run_worker, worker_app

    settings = load_settings()
    if job["log_dir"] is not None:
        configure("celery", settings, Path(job["log_dir"]))
    app = worker_app(settings)
    # Celery's own way to end in order
    _when_it_ends(orders, lambda: os.kill(os.getpid(), signal.SIGTERM))
    options = {name: job[name] for name in ("pool", "concurrency", "prefetch", "name")}
    sys.exit(run_worker(app, **options))


def _dispatch(job: dict[str, Any], orders: IO[str]) -> None:
    from labkit.dispatch.factory import dispatcher_of_job

    settings = load_settings()
    if job["log_dir"] is not None:
        configure("dispatcher", settings, Path(job["log_dir"]))
    stop = threading.Event()
    _when_it_ends(orders, stop.set)
    with dispatcher_of_job(job, settings) as dispatcher:
        while not stop.wait(0.1):
            dispatcher.check()


def _when_it_ends(orders: IO[str], call: Any) -> None:
    def listen() -> None:
        for _ in orders:
            pass
        call()

    threading.Thread(target=listen, daemon=True).start()


if __name__ == "__main__":
    try:
        main()
    except LabkitError as error:
        sys.exit(str(error))
