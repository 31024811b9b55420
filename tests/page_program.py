"""A program of a page, run as a reader runs it: by itself, in a folder of its own, against the session's lab."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from labkit.lab import Lab


def printed_by(*words: str, lab: Lab, folder: Path, timeout: float = 180) -> str:
    """What Python prints that is started with these words; it has to end with status 0, and to give no warning."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", *words],
        cwd=folder,
        env={**os.environ, "LABKIT_BOOTSTRAP_SERVERS": lab.bootstrap_servers, "LABKIT_REDIS_URL": lab.redis_url},
        check=True,
        timeout=timeout,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout
