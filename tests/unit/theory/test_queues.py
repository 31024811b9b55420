"""Waiting lines: published values, textbook formulas written out, and the laws that hold for all of them."""

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from labkit.parameters import BadValue
from labkit.theory.queues import blocking, erlang_c, mean_waits, mean_waits_single

rates = st.lists(st.floats(0.01, 2.0), min_size=1, max_size=6)
servers = st.integers(1, 40)


def erlang_c_written_out(servers: int, load: float) -> float:
    waits = load**servers / (math.factorial(servers) * (1 - load / servers))
    return waits / (sum(load**n / math.factorial(n) for n in range(servers)) + waits)


def fifo_wait(arrival_rate: float, service_rate: float, servers: int) -> float:
    load = arrival_rate / service_rate
    return erlang_c_written_out(servers, load) / (servers * service_rate - arrival_rate)


def test_published_values():
    assert mean_waits([0.9, 0.9, 0.9], service_rate=1.0, servers=3) == pytest.approx((0.3891, 0.9727, 6.809), rel=2e-4)
    assert blocking(2.7, 1.0, servers=3, capacity=10) == pytest.approx(0.06028, rel=1e-4)
    # Erlang's tables: 10 erlangs offered to 10 lines lose 21.46 %
    assert blocking(10.0, 1.0, servers=10, capacity=10) == pytest.approx(0.2146, abs=5e-5)


def test_one_server():
    assert erlang_c(1, 0.7) == pytest.approx(0.7), "it waits who finds the server busy"
    assert mean_waits([0.5], service_rate=1.0, servers=1) == pytest.approx([1.0]), "rho / (mu - lambda)"
    # a constant service time halves the wait (Pollaczek and Khinchine)
    assert mean_waits_single([0.5], [1.0], [1.0]) == pytest.approx([0.5])


@settings(deadline=None)
@given(servers, st.floats(0.0, 0.99))
def test_erlang_c_is_the_formula(servers, utilisation):
    load = utilisation * servers
    assert erlang_c(servers, load) == pytest.approx(erlang_c_written_out(servers, load), rel=1e-9)


def test_nothing_overflows():
    # the terms of the formula itself leave the range of floats here
    assert 0 < erlang_c(10_000, 9_900.0) < 1
    assert erlang_c(10_000, 100.0) == 0
    assert blocking(20_000.0, 1.0, servers=10_000, capacity=20_000) == pytest.approx(0.5)


def test_who_comes_when_all_servers_are_overloaded_waits():
    assert erlang_c(3, 3.0) == erlang_c(3, 7.0) == 1
    assert erlang_c(3, 0.0) == 0


@settings(deadline=None)
@given(rates, servers, st.floats(0.1, 10.0))
def test_conservation_law(arrival_rates, servers, service_rate):
    """Kleinrock 1965: the sum of rho_k W_k is what it is under first come, first served."""
    total = sum(arrival_rates)
    assume(total < 0.99 * servers * service_rate)
    waits = mean_waits(arrival_rates, service_rate, servers)
    weighted = sum(rate * wait for rate, wait in zip(arrival_rates, waits, strict=True))
    assert weighted == pytest.approx(total * fifo_wait(total, service_rate, servers), rel=1e-6)
    assert list(waits) == sorted(waits)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 1.0), st.floats(0.01, 2.0), st.floats(1.0, 5.0)), min_size=1, max_size=5))
def test_conservation_law_for_any_service_times(classes):
    arrival_rates = [rate for rate, _, _ in classes]
    means = [mean for _, mean, _ in classes]
    squares = [spread * mean**2 for _, mean, spread in classes]
    utilisations = [rate * mean for rate, mean in zip(arrival_rates, means, strict=True)]
    total = sum(utilisations)
    assume(total < 0.99)
    waits = mean_waits_single(arrival_rates, means, squares)
    residual = sum(rate * square / 2 for rate, square in zip(arrival_rates, squares, strict=True))
    weighted = sum(rho * wait for rho, wait in zip(utilisations, waits, strict=True))
    assert weighted == pytest.approx(total * residual / (1 - total), rel=1e-6)


@settings(deadline=None)
@given(rates, st.floats(0.1, 10.0))
def test_exponential_times_on_one_server_are_a_case_of_any_times(arrival_rates, service_rate):
    mean, number = 1 / service_rate, len(arrival_rates)
    # at the threshold itself the two ways to the same utilisation may be rounded to different sides
    assume(all(abs(sum(arrival_rates[:k]) / service_rate - 1) > 1e-9 for k in range(1, number + 1)))
    general = mean_waits_single(arrival_rates, [mean] * number, [2 * mean**2] * number)
    assert general == pytest.approx(mean_waits(arrival_rates, service_rate, 1), rel=1e-5)


def test_a_class_starves_where_the_utilisation_down_to_it_reaches_one():
    waits = mean_waits([1.0, 1.0, 1.0, 1.0], service_rate=1.0, servers=3)
    assert waits[2:] == (math.inf, math.inf)
    # all three servers are always busy: the next one is free after 1/3 s on average
    assert waits[:2] == pytest.approx((1 / 3 / (2 / 3), 1 / 3 / (2 / 3 * 1 / 3)))
    assert math.isfinite(mean_waits([1.0, 1.0, 0.999], 1.0, 3)[2])
    assert mean_waits([0.1] * 10, 1.0, 1)[8:] == (pytest.approx(50.0), math.inf), "ten tenths are one"


def test_in_overload_the_first_class_to_starve_takes_what_is_left():
    # half of the time the server works on the urgent class, half on the next; the last never gets it
    waits = mean_waits_single([0.5, 5.0, 9.0], [1.0, 2.0, 3.0], [1.0, 4.0, 90.0])
    assert waits == (pytest.approx((0.5 * 1 / 2 + 0.5 * 4 / (2 * 2)) / 0.5), math.inf, math.inf)


@settings(deadline=None)
@given(st.floats(0.1, 30.0), st.floats(0.1, 10.0), st.integers(1, 8), st.integers(0, 30))
def test_blocking_is_the_chance_of_a_full_system(arrival_rate, service_rate, servers, capacity):
    weight, weights = 1.0, [1.0]
    for tasks in range(1, capacity + 1):
        weight *= arrival_rate / (service_rate * min(tasks, servers))
        weights.append(weight)
    assert blocking(arrival_rate, service_rate, servers, capacity) == pytest.approx(weights[-1] / sum(weights))


def test_blocking_at_the_edges():
    assert blocking(0.0, 1.0, servers=2, capacity=3) == 0
    assert blocking(5.0, 1.0, servers=2, capacity=0) == 1
    assert blocking(3.0, 1.0, servers=3, capacity=500) == pytest.approx(1 / 500, rel=0.01), "all states about alike"


@pytest.mark.parametrize(
    "call",
    [
        lambda: erlang_c(0, 1.0),
        lambda: erlang_c(1, -1.0),
        lambda: erlang_c(1, math.nan),
        lambda: mean_waits([1.0], 0.0, 1),
        lambda: mean_waits([1.0, -1.0], 1.0, 1),
        lambda: mean_waits([1.0], 1.0, 0),
        lambda: mean_waits_single([1.0], [0.0], [1.0]),
        lambda: mean_waits_single([1.0], [1.0], [0.5]),
        lambda: mean_waits_single([1.0], [1.0, 1.0], [1.0]),
        lambda: blocking(1.0, 1.0, servers=1, capacity=-1),
        lambda: blocking(-1.0, 1.0, servers=1, capacity=1),
        lambda: blocking(1.0, 0.0, servers=1, capacity=1),
    ],
)
def test_what_cannot_be_is_refused(call):
    with pytest.raises(BadValue, match=r"' of \w+ (is|has|have) .*; give "):
        call()


def test_no_class_has_no_wait():
    assert mean_waits([], 1.0, 2) == mean_waits_single([], [], []) == ()
