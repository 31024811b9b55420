"""Service times: drawn from seed and task id, nothing else."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import SettingsError
from labkit.taskqueue.service_time import constant, exponential, parse_service, uniform
from labkit.taskqueue.task import Task

IDS = [f"task-{number}" for number in range(4000)]


def test_a_task_takes_as_long_whenever_it_is_drawn():
    service = uniform(0.01, 0.05, seed=1)
    assert service.draw("a") == uniform(0.01, 0.05, seed=1).draw("a")
    assert service.draw("a") != service.draw("b")
    assert service.draw("a") != uniform(0.01, 0.05, seed=2).draw("a")


@given(st.text(), st.integers(-(2**63), 2**63 - 1))
def test_uniform_stays_within_its_bounds(task_id, seed):
    assert 0.010 <= uniform(0.01, 0.05, seed=seed).draw(task_id) <= 0.050


@pytest.mark.parametrize(
    ("service", "mean", "deviation"),
    [
        (constant(0.02), 0.020, 0.0),
        (uniform(0.01, 0.05, seed=7), 0.030, 0.040 / 12**0.5),
        (exponential(0.02, seed=7), 0.020, 0.020),
    ],
)
def test_the_draws_have_the_moments_of_their_distribution(service, mean, deviation):
    draws = [service.draw(task_id) for task_id in IDS]
    # four standard errors: a right implementation fails once in 16,000 seeds, and this seed is fixed
    assert statistics.fmean(draws) == pytest.approx(mean, abs=4 * deviation / len(draws) ** 0.5)
    assert statistics.pstdev(draws) == pytest.approx(deviation, rel=0.1)
    assert service.mean == pytest.approx(mean)


def test_a_task_without_a_service_time_gives_its_turn_to_nobody(monkeypatch):
    """To sleep for no time does: empty tasks took three times as long."""
    slept = []
    monkeypatch.setattr("labkit.taskqueue.service_time.time.sleep", slept.append)
    for service in (constant(0), uniform(0, 0), exponential(0)):
        service(Task(id="a", kind="k"))
    assert slept == []


@pytest.mark.parametrize("service", [constant(0.02), uniform(0.01, 0.0505), exponential(0.003)])
def test_what_is_written_can_be_read(service):
    assert parse_service(str(service)) == service


@pytest.mark.parametrize(
    ("text", "service"),
    [
        ("constant:0.02", constant(0.02)),
        ("constant:20ms", constant(0.02)),
        ("uniform:10ms, 0.05s", uniform(0.01, 0.05)),
        ("exponential:2s", exponential(2)),
    ],
)
def test_numbers_are_seconds_and_may_have_a_unit(text, service):
    assert parse_service(text) == service


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20",
        "constant:20 h",
        "constant:ms",
        "constant",
        "constant:x",
        "uniform:1",
        "uniform:5,1",
        "normal:3",
        "constant:-1",
        "constant:nan",
    ],
)
def test_what_is_no_service_time_is_refused(text):
    with pytest.raises(SettingsError, match="service time"):
        parse_service(text)


def test_the_handler_sleeps_for_the_drawn_time(monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr("labkit.taskqueue.service_time.time.sleep", slept.append)
    service = uniform(0.01, 0.05, seed=3)
    service(Task(id="a", kind="k"))
    assert slept == [service.draw("a")]
