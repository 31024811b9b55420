"""Open-loop load: the moments at which tasks are due, fixed beforehand and independent of how the queue fares.

An arrival process is an endless iterator of seconds since its start. A generator that waits for the queue
before it sends again would hide the very waiting that is to be measured (coordinated omission).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import count

from labkit.errors import SettingsError


def constant(rate: float) -> Iterator[float]:
    """One task every 1/`rate` seconds, beginning at 0."""
    _must_be_positive(rate)
    return (number / rate for number in count())


def poisson(rate: float, rng: random.Random) -> Iterator[float]:
    """Independent exponential gaps with mean 1/`rate` seconds: the M in M/M/c."""
    _must_be_positive(rate)
    return _sums(lambda: rng.expovariate(rate))


def burst(rate: float, rng: random.Random, *, size: int = 10) -> Iterator[float]:
    """Groups of `size` tasks at once, at exponential gaps; `rate` tasks a second in the long run."""
    _must_be_positive(rate)
    groups = _sums(lambda: rng.expovariate(rate / size))
    return (moment for moment in groups for _ in range(size))


#: The arrival processes by name, as `labkit produce --arrivals` takes them: (rate, rng) -> moments.
ARRIVALS: dict[str, Callable[[float, random.Random], Iterator[float]]] = {
    "constant": lambda rate, _rng: constant(rate),
    "poisson": poisson,
    "burst": burst,
}


def _sums(gap: Callable[[], float]) -> Iterator[float]:
    moment = 0.0
    while True:
        moment += gap()
        yield moment


def _must_be_positive(rate: float) -> None:
    if not rate > 0:
        raise SettingsError(f"A rate of {rate:g} tasks a second sends nothing; it must be above 0.")
