"""Open-loop load: the moments at which tasks are due, fixed beforehand and independent of how the queue fares.

An arrival process is an iterator of seconds since its start, endless but for `steps`. A generator that waits for the
queue before it sends again would hide the very waiting that is to be measured (coordinated omission).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from labkit.parameter_checks import Count, Positive
from labkit.parameters import check_lengths, checked


@checked
def constant(rate: Positive) -> Iterator[float]:
    """One task every 1/`rate` seconds, beginning at 0."""
    return (number / rate for number in count())


@checked
def poisson(rate: Positive, rng: random.Random) -> Iterator[float]:
    """Independent exponential gaps with mean 1/`rate` seconds: the M in M/M/c."""
    return _sums(lambda: rng.expovariate(rate))


@checked
def burst(rate: Positive, rng: random.Random, *, size: Count = 10) -> Iterator[float]:
    """Groups of `size` tasks at once, at exponential gaps; `rate` tasks a second in the long run."""
    groups = _sums(lambda: rng.expovariate(rate / size))
    return (moment for moment in groups for _ in range(size))


@checked
def steps(levels: Sequence[tuple[float, Positive]], rng: random.Random) -> Iterator[float]:
    """Poisson arrivals whose rate changes in steps: each level is a rate, which may be 0, and for how many seconds.

    It ends with the last level. Raises `BadValue` for a rate below 0 and a level that takes no time.
    """
    return _stepwise(levels, rng)


@checked
def utilisation_levels(
    seconds: Sequence[float],
    *,
    servers: Count,
    mean_service: Positive,
    utilisations: Sequence[float] = (0.5, 1.5, 0.5),
) -> list[tuple[float, float]]:
    """The levels for `steps` that utilise this many servers so much, at a mean service time in seconds.

    `seconds` says how long each level takes. Without `utilisations` they are an overload between two calm times.
    Raises `BadValue` without a server or a service time, and if not every level has its seconds.
    """
    check_lengths("utilisation_levels", seconds=seconds, utilisations=utilisations)
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
