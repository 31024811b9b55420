"""All notebooks by nbval, two at a time as in `make test`."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from benchmarks.figure import Figure, measured
from benchmarks.shell import ROOT
from labkit.lab import Lab

REPEATS = 3


def measure() -> list[Figure]:
    """The figure."""
    with Lab() as lab:
        env = {"LABKIT_BOOTSTRAP_SERVERS": lab.bootstrap_servers, "LABKIT_REDIS_URL": lab.redis_url}
        times = [_nbval(env) for _ in range(REPEATS)]
    return [
        measured(
            "notebooks_nbval",
            "all notebooks by nbval",
            times,
            unit="s",
            better="lower",
            at_least=150,
            aim=90,
            how="The whole pytest process, with the options that `make test` gives it, over all notebooks, two at a "
            "time, against a running lab.",
        )
    ]


def _nbval(env: dict[str, str]) -> float:
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env"]
    command += ["--nbval-cell-timeout=60", "--color=no", "-n", "2", "--dist", "loadfile"]
    began = time.perf_counter()
    subprocess.run([*command, *notebooks], cwd=ROOT, env={**os.environ, **env}, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
