"""All notebooks by nbval, by the test that `make test` runs."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.figure import Figure, measured
from benchmarks.shell import ROOT

REPEATS = 3


def measure() -> list[Figure]:
    """The figure."""
    return [
        measured(
            "notebooks_nbval",
            "all notebooks by nbval",
            [_nbval() for _ in range(REPEATS)],
            unit="s",
            better="lower",
            at_least=150,
            aim=90,
            how="The test of `make test` that compares what comes out with what is committed, over all notebooks, in "
            "two processes; each starts a lab of its own. From the command to its end.",
        )
    ]


def _nbval() -> float:
    test = "tests/notebooks/test_nbval.py::test_the_committed_outputs_come_out_again"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "--no-loadscope-reorder"]
    began = time.perf_counter()
    subprocess.run([*command, test], cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began
