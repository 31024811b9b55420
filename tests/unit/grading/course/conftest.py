"""nbgrader leaves connections to a gradebook open where opening it or a conversion has failed."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_connection_of_nbgraders_is_left() -> Iterator[None]:
    """Else the garbage collector of Python 3.13 tells of it within another test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
