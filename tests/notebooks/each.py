"""Tests of every notebook, and which of them need a computer that does nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

#: They hold waits on the live system against a formula and a simulation: beside other tests, what would be measured is
#: how busy the computer is.
MEASURE_TIMES = ("07_priority_starvation", "08_celery_bridge", "09_backpressure", "10_priority_dispatcher")


def each_of(notebooks: Sequence[Path]) -> pytest.MarkDecorator:
    """A test for each notebook; those that measure times are marked `alone`."""
    params = [
        pytest.param(path, id=path.stem, marks=[pytest.mark.alone] if path.stem in MEASURE_TIMES else [])
        for path in notebooks
    ]
    return pytest.mark.parametrize("path", params)
