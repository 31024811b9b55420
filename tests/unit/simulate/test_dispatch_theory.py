"""The simulated dispatcher against the formulas of waiting lines: an M/M/3 with a policy in front."""

import math

import numpy as np
import pytest
from scipy.stats import t as student

from labkit.measure.metrics import times
from labkit.policies import PriorityClass, make_policy
from labkit.simulate.dispatch import poisson_arrivals, simulate_dispatch
from labkit.theory.queues import blocking, mean_waits

pytestmark = pytest.mark.slow

SEED = 20_25
SERVERS = 3
THREE = [PriorityClass(name=name) for name in ("high", "middle", "low")]


def run(policy, classes, rates, tasks, seed, capacity=SERVERS):
    """Poisson arrivals and exponential service times of 1 s on average, at SERVERS servers."""
    rng = np.random.default_rng(seed)
    arrivals = poisson_arrivals(rates, tasks, rng)
    service = rng.exponential(1.0, size=tasks)
    return simulate_dispatch(policy, classes, **arrivals._asdict(), service=service, servers=SERVERS, capacity=capacity)


def interval(one, replications, comparisons, key=0):
    """The mean of what `one` gives for independent seeds, and half the width of the 95 % interval.

    The interval holds for all the comparisons at once (Bonferroni).
    """
    values = np.array([one(seed) for seed in np.random.SeedSequence([SEED, key]).spawn(replications)])
    quantile = student.ppf(1 - 0.05 / (2 * comparisons), replications - 1)
    return values.mean(axis=0), quantile * values.std(axis=0, ddof=1) / math.sqrt(replications)


def waits_by_class(records, since):
    counted = records[records["scheduled_at"] >= since]
    return times(counted)["waiting_s"].groupby(counted["priority"]).mean().to_numpy()


@pytest.mark.parametrize("utilisation", [pytest.param(0.7, marks=pytest.mark.long), 0.9])
def test_mean_waits_are_those_of_cobham(utilisation):
    rates = [utilisation] * 3

    def one(seed):
        return waits_by_class(run(make_policy("strict"), THREE, rates, 6_000, seed), since=1_000 / sum(rates))

    mean, half_width = interval(one, replications=10, comparisons=3, key=round(100 * utilisation))
    assert (np.abs(mean - mean_waits(rates, 1.0, SERVERS)) <= half_width).all()


@pytest.mark.long
def test_in_overload_the_classes_that_do_not_starve_wait_as_long_as_cobham_says():
    rates = [0.4 * SERVERS, 0.4 * SERVERS, 0.5 * SERVERS]

    def one(seed):
        return waits_by_class(run(make_policy("strict"), THREE, rates, 5_000, seed), since=200.0)[:2]

    mean, half_width = interval(one, replications=8, comparisons=2)
    assert (np.abs(mean - mean_waits(rates, 1.0, SERVERS)[:2]) <= half_width).all()


@pytest.mark.parametrize("utilisation", [0.9, 1.1, pytest.param(1.3, marks=pytest.mark.long)])
def test_strict_starves_the_lowest_class_where_its_utilisation_reaches_one(utilisation):
    rates, tasks = [0.4 * SERVERS, 0.4 * SERVERS, (utilisation - 0.8) * SERVERS], 10_000
    assert [math.isinf(wait) for wait in mean_waits(rates, 1.0, SERVERS)] == [False, False, utilisation >= 1]
    records = run(make_policy("strict"), THREE, rates, tasks, SEED)
    end = records["scheduled_at"].max()
    piled_up = (records["started_at"] > end).groupby(records["priority"]).sum() / end
    # what cannot be served piles up, so many more per second; 4 standard errors of arrivals less departures
    tolerance = 4 * math.sqrt(2 * tasks) / end
    assert piled_up[2] == pytest.approx(max(0.0, utilisation - 1) * SERVERS, abs=tolerance)
    assert (piled_up[2] > tolerance / 4) == (utilisation >= 1)
    assert piled_up[:1].max() * end < 100, "the others do not starve"


@pytest.mark.long
def test_blocking_is_that_of_a_bounded_system():
    tasks, bounded = 5_000, [PriorityClass(name="all", limit=0)]

    def one(seed):
        return 1 - len(run(make_policy("strict"), bounded, [2.7], tasks, seed, capacity=10)) / tasks

    mean, half_width = interval(one, replications=10, comparisons=1)
    assert abs(mean - blocking(2.7, 1.0, SERVERS, capacity=10)) <= half_width < 0.1 * mean


def shares_of_starts(records, ranks):
    """Of what was started after the first quarter of the arrivals and before the last one."""
    first, last = records["scheduled_at"].quantile(0.25), records["scheduled_at"].max()
    started = records[records["started_at"].between(first, last)]
    return started["priority"].value_counts(normalize=True).reindex(range(ranks), fill_value=0.0).tolist()


@pytest.mark.parametrize(
    ("name", "offered", "weights", "shares", "expected"),
    [
        pytest.param("weighted", [1.0, 0.3], [4, 1], [0, 0], [0.8, 0.2], marks=pytest.mark.long),
        ("weighted", [0.6, 0.4, 0.3], [5, 3, 2], [0, 0, 0], [0.5, 0.3, 0.2]),
        pytest.param("quota", [1.1, 0.2], [1, 1], [0, 0.15], [0.85, 0.15], marks=pytest.mark.long),
        ("quota", [1.0, 0.15, 0.15], [1, 1, 1], [0, 0.1, 0.05], [0.85, 0.1, 0.05]),
    ],
)
def test_shares_hold_in_overload(name, offered, weights, shares, expected):
    classes = [
        PriorityClass(name=f"class-{rank}", weight=weight, share=share)
        for rank, (weight, share) in enumerate(zip(weights, shares, strict=True))
    ]
    rates = [SERVERS * utilisation for utilisation in offered]
    got = shares_of_starts(run(make_policy(name), classes, rates, 8_000, SEED), len(classes))
    assert got == pytest.approx(expected, rel=0.02)
