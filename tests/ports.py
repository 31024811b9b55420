"""Ports that a test chooses before something listens there."""

from __future__ import annotations

import os
from itertools import islice
from random import SystemRandom

from labkit.lab.probe import is_free

#: How many each process of a run has. Labs choose theirs from 20,000 on, and systems those of connections beyond.
OWN = 500

_first = 10_000 + OWN * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_unused = filter(is_free, SystemRandom().sample(range(_first, _first + OWN), OWN))


def own_ports(count: int) -> list[int]:
    """Ports that are free, and that nothing else of the run is given, neither now nor later."""
    return list(islice(_unused, count))
