"""`python -m labkit.api.server_process`: a server of the API, driven by `ApiProcess`.

The job comes as one JSON line on standard input; the port goes out as one on standard output when requests are
answered. When the input ends, because the parent asks for it or is gone, the server stops.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import IO

from labkit.api.security import Access
from labkit.api.server import ApiServer, tune_process
from labkit.errors import LabkitError
from labkit.lab import attach_lab
from labkit.logs import configure
from labkit.settings import load_settings

#: How often to look whether the server still runs, in seconds.
LOOK_INTERVAL = 0.5


def main() -> None:
    """Read the job, serve until the input ends."""
    orders = os.fdopen(os.dup(sys.stdin.fileno()))
    job = json.loads(orders.readline())
    settings = load_settings()
    if job["log_dir"] is not None:
        configure("api", settings, Path(job["log_dir"]))
    stop = threading.Event()
    threading.Thread(target=_listen, args=(orders, stop), daemon=True).start()
    access = Access(token=job["token"])
    with (
        attach_lab(settings=settings) as lab,
        ApiServer(lab, port=job["port"], access=access, settings=settings) as api,
    ):
        tune_process()
        print(json.dumps({"port": api.port}), flush=True)  # noqa: T201 - the report to the parent
        while not stop.wait(LOOK_INTERVAL):
            api.check()


def _listen(orders: IO[str], stop: threading.Event) -> None:
    for _ in orders:
        pass
    stop.set()


if __name__ == "__main__":
    try:
        main()
    except LabkitError as error:
        sys.exit(str(error))
