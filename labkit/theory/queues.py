"""Waiting lines: how long tasks of each priority class wait, and how many are turned away.

Tasks arrive at random moments (Poisson) and no server idles while a task waits. Rates are per second, times in
seconds; classes are given in rank order, most urgent first. What is offered to the servers is the load
a = arrival rate / service rate; per server it is the utilisation. Textbook: Kleinrock, "Queueing Systems", volumes 1
and 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from labkit.parameter_checks import Count, Positive
from labkit.parameters import BadValue, check_lengths, checked


@checked
def erlang_c(servers: Count, load: float) -> float:
    """The chance that a task has to wait in M/M/c with this load: 1 where the load is `servers` or more.

    Erlang 1917. Computed from Erlang's B by its recursion, which neither overflows nor cancels.
    Raises `BadValue` without a server or with a negative load.
    """
    if load >= servers:
        return 1.0
    lost = blocking(load, 1.0, servers, servers)
    return lost / (1 - load / servers * (1 - lost))


@checked
def mean_waits(arrival_rates: Sequence[float], service_rate: Positive, servers: Count) -> tuple[float, ...]:
    """Mean seconds in the queue per class: M/M/c, strict priority, no task in service is interrupted.

    Cobham 1954, "Priority Assignment in Waiting Line Problems": W_k = [C / (c mu)] / [(1 - s_(k-1)) (1 - s_k)], where
    s_k is the utilisation by class k and the more urgent ones, and C is Erlang's. A class starves where s_k reaches 1:
    its wait grows without end and is inf here. From then on all servers are always busy for the others, so C = 1.

    Raises `BadValue` if there is no server, if they are not served, or if a rate is negative.
    """
    capacity = servers * service_rate
    utilisations = [rate / capacity for rate in arrival_rates]
    until_a_server_is_free = erlang_c(servers, math.fsum(arrival_rates) / service_rate) / capacity
    return tuple(_cobham(until_a_server_is_free, utilisations))


@checked
def mean_waits_single(
    arrival_rates: Sequence[float], first_moments: Sequence[Positive], second_moments: Sequence[float]
) -> tuple[float, ...]:
    """As `mean_waits`, for one server and service times of any distribution, another for each class (M/G/1).

    `first_moments` are the means E[S] in seconds, `second_moments` E[S^2] in seconds squared. Cobham 1954:
    W_k = [sum of lambda_i E[S_i^2] / 2] / [(1 - s_(k-1)) (1 - s_k)]. In overload the sum is over what is served: the
    first class to starve gets what the more urgent ones leave, those after it get nothing.

    Raises `BadValue` if the three differ in length, if a mean is not positive or a second moment below its square.
    """
    check_lengths(
        "mean_waits_single",
        arrival_rates=arrival_rates,
        first_moments=first_moments,
        second_moments=second_moments,
    )
    residual, free = 0.0, 1.0
    utilisations = []
    for rate, mean, square in zip(arrival_rates, first_moments, second_moments, strict=True):
        if not square >= mean**2 * (1 - 1e-9):  # a constant time has equality, which rounding may miss
            raise BadValue(
                f"'second_moments' of mean_waits_single has {square:g} where the mean is {mean:g}; give the mean of "
                f"the squares, which is {mean**2:g} or more."
            )
        utilisations.append(rate * mean)
        share = min(rate * mean, free)
        residual += share * square / (2 * mean)
        free -= share
    return tuple(_cobham(residual, utilisations))


@checked
def blocking(arrival_rate: float, service_rate: Positive, servers: Count, capacity: int) -> float:
    """The share of tasks that is turned away when `capacity` may be in the system, in service or waiting: M/M/c/K.

    It is pi_K, the chance of a full system, as arrivals see time averages. With K = c it is Erlang's B (1917).
    Built up from the empty system: pi_n of a system for n is x / (1 + x), where x = a / min(n, c) times that of n - 1.
    Raises `BadValue` without a server, with a capacity or a rate below 0, or if nothing is ever served.
    """
    full = 1.0
    for tasks in range(1, capacity + 1):
        more = arrival_rate / (min(tasks, servers) * service_rate) * full
        full = more / (1 + more)
    return full


def _cobham(residual: float, utilisations: Sequence[float]) -> Iterator[float]:
    """The waits per class, when it takes `residual` seconds on average until a server is free for whoever is first."""
    # fsum: ten classes of a tenth are exactly 1, and the threshold does not depend on rounding
    above = 0.0
    for last in range(1, len(utilisations) + 1):
        reached = math.fsum(utilisations[:last])
        yield residual / ((1 - above) * (1 - reached)) if reached < 1 else math.inf
        above = reached
