"""Open-loop load: the moments at which tasks are due, fixed beforehand and independent of how the queue fares.

An arrival process is an iterator of seconds since its start, endless but for `steps`. A generator that waits for the
queue before it sends again would hide the very waiting that is to be measured (coordinated omission).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
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
    if size < 1:
        raise SettingsError(f"A burst of {size} tasks cannot be: give 1 or more.")
    groups = _sums(lambda: rng.expovariate(rate / size))
    return (moment for moment in groups for _ in range(size))


def steps(levels: Sequence[tuple[float, float]], rng: random.Random) -> Iterator[float]:
    """Poisson arrivals whose rate changes in steps: each level is a rate, which may be 0, and for how many seconds.

    It ends with the last level. Raises `SettingsError` for a rate below 0 and a level that takes no time.
    """
    for rate, seconds in levels:
        if not (math.isfinite(rate) and rate >= 0 and math.isfinite(seconds) and seconds > 0):
            raise SettingsError(
                f"There is no level of {rate:g} tasks a second for {seconds:g} s; "
                "give it a rate of 0 or more and a time above 0 s."
            )
    return _stepwise(levels, rng)


def utilisation_levels(
    seconds: Sequence[float],
    *,
    servers: int,
    mean_service: float,
    utilisations: Sequence[float] = (0.5, 1.5, 0.5),
) -> list[tuple[float, float]]:
    """The levels for `steps` that utilise this many servers so much, at a mean service time in seconds.

    `seconds` says how long each level takes. Without `utilisations` they are an overload between two calm times.
    Raises `SettingsError` without a server or a service time, and if not every level has its seconds.
    """
    if servers < 1 or not mean_service > 0:
        raise SettingsError(
            f"{servers} servers that need {mean_service:g} s for a task have no utilisation; both must be above 0."
        )
    if len(seconds) != len(utilisations):
        raise SettingsError(
            f"There are {len(utilisations)} levels of load and {len(seconds)} times; give one for each."
        )
    return [(one * servers / mean_service, time) for one, time in zip(utilisations, seconds, strict=True)]


#: The arrival processes by name, as `labkit produce --arrivals` takes them: (rate, rng) -> moments.
ARRIVALS: dict[str, Callable[[float, random.Random], Iterator[float]]] = {
    "constant": lambda rate, _rng: constant(rate),
    "poisson": poisson,
    "burst": burst,
}


def _stepwise(levels: Sequence[tuple[float, float]], rng: random.Random) -> Iterator[float]:
    begin = 0.0
    for rate, seconds in levels:
        # exponential gaps have no memory, so each level may begin anew
        for moment in poisson(rate, rng) if rate else ():
            if moment >= seconds:
                break
            yield begin + moment
        begin += seconds


def _sums(gap: Callable[[], float]) -> Iterator[float]:
    moment = 0.0
    while True:
        moment += gap()
        yield moment


def _must_be_positive(rate: float) -> None:
    if not 0 < rate < math.inf:
        raise SettingsError(f"A rate of {rate:g} tasks a second cannot be kept; it must be above 0, and finite.")
