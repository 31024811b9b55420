"""Arrival processes: open loop, from a rate and a seed."""

import random
from itertools import islice

import pytest

from labkit.errors import SettingsError
from labkit.taskqueue.arrivals import ARRIVALS, burst, constant, poisson


def test_constant_gaps():
    assert list(islice(constant(50), 4)) == [0.0, 0.02, 0.04, 0.06]


def test_poisson_has_the_rate_and_the_spread_of_exponential_gaps():
    moments = list(islice(poisson(50, random.Random(1)), 5000))
    gaps = [b - a for a, b in zip([0.0, *moments], moments, strict=False)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert mean == pytest.approx(1 / 50, rel=4 / 5000**0.5)
    assert variance**0.5 / mean == pytest.approx(1.0, rel=0.05)


def test_bursts_come_together_and_keep_the_rate():
    moments = list(islice(burst(100, random.Random(1), size=5), 5000))
    assert all(len(set(moments[i : i + 5])) == 1 for i in range(0, 5000, 5))
    assert len(set(moments)) == 1000
    assert moments[-1] == pytest.approx(50, rel=4 / 1000**0.5)


@pytest.mark.parametrize("name", ARRIVALS)
def test_a_seed_repeats_the_moments_and_they_never_go_back(name):
    first, second = (list(islice(ARRIVALS[name](10, random.Random(3)), 100)) for _ in range(2))
    assert first == second == sorted(first)


@pytest.mark.parametrize("name", ARRIVALS)
@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_that_sends_nothing_is_refused(name, rate):
    with pytest.raises(SettingsError, match="must be above 0"):
        ARRIVALS[name](rate, random.Random(0))
