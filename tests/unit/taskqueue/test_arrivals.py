"""Arrival processes: open loop, from a rate and a seed."""

import math
import random
from itertools import islice, takewhile

import pytest

from labkit.errors import SettingsError
from labkit.taskqueue.arrivals import ARRIVALS, burst, constant, poisson, steps, utilisation_levels


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
@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_sends_nothing_is_refused(name, rate):
    with pytest.raises(SettingsError, match="above 0"):
        ARRIVALS[name](rate, random.Random(0))


def test_steps_have_the_rate_of_each_level_for_as_long_as_it_lasts():
    levels = [(50.0, 40.0), (0.0, 5.0), (150.0, 20.0), (50.0, 40.0)]
    moments = list(steps(levels, random.Random(1)))
    assert moments == sorted(moments)
    begin = 0.0
    for rate, seconds in levels:
        inside = [moment for moment in moments if begin <= moment < begin + seconds]
        # a Poisson count has its mean as variance
        assert len(inside) == pytest.approx(rate * seconds, abs=4 * (rate * seconds) ** 0.5)
        begin += seconds
    assert moments[-1] < begin, "it ends"


def test_steps_of_one_level_are_poisson_arrivals():
    endless = poisson(20, random.Random(3))
    assert list(steps([(20.0, 5.0)], random.Random(3))) == list(takewhile(lambda moment: moment < 5.0, endless))


def test_levels_by_utilisation():
    assert utilisation_levels([10, 20, 60], servers=3, mean_service=0.25) == [(6, 10), (18, 20), (6, 60)]
    assert utilisation_levels([8], servers=2, mean_service=0.5, utilisations=[0.75]) == [(3, 8)]


@pytest.mark.parametrize("level", [(-1.0, 1.0), (math.nan, 1.0), (math.inf, 1.0), (1.0, 0.0), (1.0, math.nan)])
def test_a_level_that_cannot_be_is_refused(level):
    with pytest.raises(SettingsError, match=r"'levels' of steps is .*give a list in which each"):
        steps([(1.0, 1.0), level], random.Random(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"servers": 0}, "whole number of 1 or more"),
        ({"mean_service": 0.0}, "above 0"),
        ({"seconds": [1.0, 2.0]}, "have 2 and 3 entries"),
    ],
)
def test_levels_that_do_not_fit_are_refused(change, message):
    with pytest.raises(SettingsError, match=message):
        utilisation_levels(**({"seconds": [1.0, 2.0, 3.0], "servers": 3, "mean_service": 0.1} | change))


@pytest.mark.parametrize("size", [0, -1])
def test_a_burst_of_nothing_is_refused(size):
    with pytest.raises(SettingsError, match="of 1 or more"):
        burst(1, random.Random(1), size=size)
