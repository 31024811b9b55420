"""The simulated admission against theory: blocking, recovery after an overload, and where strategies settle."""

import math
import random

import numpy as np
import pytest
from scipy.stats import t as student

from labkit.backpressure import make_strategy
from labkit.measure.metrics import recovery_time, successful, times
from labkit.simulate.pressure import Retries, simulate_pressure
from labkit.taskqueue.arrivals import steps, utilisation_levels
from labkit.theory.queues import blocking

pytestmark = pytest.mark.slow

SEED = 20_25
SERVERS, MEAN = 3, 0.1
CALM, OVERLOAD, AFTER = 20.0, 20.0, 60.0


def interval(one, replications):
    """The mean of what `one` gives for independent seeds, and half the width of the 95 % interval."""
    values = np.array([one(seed) for seed in np.random.SeedSequence(SEED).spawn(replications)])
    quantile = student.ppf(0.975, replications - 1)
    return values.mean(), quantile * values.std(ddof=1) / math.sqrt(replications)


def overloaded(strategy, seed, retries=None):
    """Utilisation 0.5, 1.5 and 0.5 again."""
    levels = utilisation_levels([CALM, OVERLOAD, AFTER], servers=SERVERS, mean_service=MEAN)
    drawn = np.random.default_rng(seed)
    scheduled_at = list(steps(levels, random.Random(int(drawn.integers(2**32)))))
    service = drawn.exponential(MEAN, size=len(scheduled_at))
    return simulate_pressure(strategy, scheduled_at=scheduled_at, service=service, servers=SERVERS, retries=retries)


def recovery(run):
    return recovery_time(run.records, CALM + OVERLOAD, overload_begins=CALM)


@pytest.mark.parametrize(
    ("limit", "utilisation"),
    [(10, 0.9), pytest.param(3, 0.7, marks=pytest.mark.long), pytest.param(20, 1.5, marks=pytest.mark.long)],
)
def test_blocking_is_that_of_a_bounded_system(limit, utilisation):
    tasks, rate = 10_000, utilisation * SERVERS

    def one(seed):
        rng = np.random.default_rng(seed)
        run = simulate_pressure(
            make_strategy("shed_newest", limit=limit),
            scheduled_at=rng.exponential(1 / rate, size=tasks).cumsum(),
            service=rng.exponential(1.0, size=tasks),
            servers=SERVERS,
        )
        return run.turned_away["tasks"].sum() / tasks

    mean, half_width = interval(one, replications=10)
    assert abs(mean - blocking(rate, 1.0, SERVERS, limit)) <= half_width < 0.1 * mean


def test_without_a_limit_recovery_takes_as_long_as_the_overload():
    # the queue grows by half of what can be served, and shrinks by as much afterwards (the fluid limit)
    mean, half_width = interval(lambda seed: recovery(overloaded(make_strategy("unlimited"), seed)), replications=10)
    assert abs(mean - OVERLOAD) <= half_width < 0.25 * OVERLOAD


@pytest.mark.parametrize("name", ["refuse", "shed_newest", "shed_lowest", "spill"])
def test_with_a_limit_recovery_takes_no_longer_than_to_serve_what_it_allows(name):
    run = overloaded(make_strategy(name, limit=20), SEED)
    assert recovery(run) <= 20 * MEAN / SERVERS * 4
    assert run.turned_away["tasks"].sum() > 0


def test_with_retries_an_overload_outlasts_its_cause_unless_something_is_shed():
    impatient = Retries(patience=1.0, copies=4)
    unlimited, shedding = (
        overloaded(make_strategy(name, **options), SEED, impatient)
        for name, options in (("unlimited", {}), ("shed_newest", {"limit": 20}))
    )
    assert recovery(unlimited) == math.inf
    # at utilisation 0.5, four copies of each task are twice what can be served
    calm_again = unlimited.records[unlimited.records["scheduled_at"] > CALM + OVERLOAD + 10]
    assert calm_again.groupby("task_id").size().mean() == pytest.approx(4.0, abs=0.1)
    assert recovery(shedding) < OVERLOAD / 2


def test_the_lag_settles_where_the_gap_is_as_long_as_the_service():
    run = simulate_pressure(
        make_strategy("slow", threshold=4, per_task=0.25),
        scheduled_at=np.arange(0.0, 100.0, 0.5),
        service=[1.0] * 200,
        servers=1,
    )
    # one server, 1 task/s: threshold + 1 / (per_task * rate) = 4 + 4
    late = run.records.iloc[50:150]
    behind_the_door = (late["finished_at"] - late["received_at"]).mean()
    assert behind_the_door == pytest.approx(8.0, abs=1.0)


def test_the_adaptive_limit_keeps_the_latency_at_its_target_and_the_servers_busy():
    target, seconds = 1.0, 200.0
    rng = np.random.default_rng(SEED)
    scheduled_at = rng.exponential(MEAN / SERVERS / 1.5, size=int(1.5 * SERVERS / MEAN * seconds)).cumsum()
    run = simulate_pressure(
        make_strategy("aimd", target=target),
        scheduled_at=scheduled_at,
        service=rng.exponential(MEAN, size=len(scheduled_at)),
        servers=SERVERS,
    )
    settled = successful(run.records)["scheduled_at"] > seconds / 4
    latency = times(run.records[settled])["sojourn_s"]
    assert target / 2 < latency.median() < target, "the limit hunts below the target, which it then and again exceeds"
    served = len(latency) * MEAN / SERVERS / (seconds * 3 / 4)
    assert served == pytest.approx(1.0, abs=0.05)
