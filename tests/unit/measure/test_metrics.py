"""The numbers, against ones worked out by hand."""

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from labkit.measure import BAD, FAILED, metrics, receipts_to_frame, to_frame
from labkit.measure.records import TurnedAway, turned_away_frame

counts = st.lists(st.integers(0, 1000), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def records(attempt):
    """Two workers, three tasks, one of them after a failure; and a record that was no task.

    worker-1   task 1 [0, 2]              task 3 [3, 4] (partition 1)
    worker-2   task 2 [1, 2] fails        task 2 again [4, 8]
    """
    return to_frame(
        [
            attempt(0, 0, 2, number=1),
            attempt(1, 1, 2, number=2, worker="worker-2", outcome=FAILED, error="ValueError: no"),
            attempt(1, 3, 4, number=3, partition=1),
            attempt(1, 4, 8, number=2, worker="worker-2", attempt=2),
            attempt(0, 8, 8, number=4, task_id="", worker="worker-2", outcome=BAD, error="not a task"),
        ]
    )


def test_tasks_per_worker(records):
    assert metrics.tasks_per_worker(records).to_dict() == {"worker-1": 2, "worker-2": 1}
    assert list(metrics.tasks_per_worker(records, ["worker-10", "worker-3"]).items()) == [
        ("worker-1", 2),
        ("worker-2", 1),
        ("worker-3", 0),
        ("worker-10", 0),
    ]


def test_tasks_per_partition(records):
    assert metrics.tasks_per_partition(records).to_dict() == {0: 2, 1: 1}
    assert metrics.tasks_per_partition(records, 4).to_dict() == {0: 2, 1: 1, 2: 0, 3: 0}


def test_makespan_and_throughput(records):
    assert metrics.makespan(records) == 8.0
    assert metrics.throughput(records) == 3 / 8


def test_makespan_since_the_first_start(attempt):
    assert metrics.makespan(to_frame([attempt(0, 5, 6), attempt(0, 6, 8)]), since="started_at") == 3.0


def test_waiting_service_and_sojourn_times(records):
    times = metrics.times(records)
    assert times["waiting_s"].tolist() == [0, 2, 3]
    assert times["service_s"].tolist() == [2, 1, 4]
    assert times["sojourn_s"].tolist() == [2, 3, 7]


def test_quantiles_of_the_times(records):
    quantiles = metrics.time_quantiles(records)
    assert list(quantiles.columns) == ["p50", "p90", "p99", "mean", "max"]
    assert quantiles.loc["waiting_s"].tolist() == pytest.approx([2, 2.8, 2.98, 5 / 3, 3])
    assert quantiles.loc["service_s", "max"] == 4


def test_utilisation_counts_failed_attempts_as_busy(records):
    # the run of the workers is 8 s long; worker-1 was busy for 3 of them, worker-2 for 5
    assert metrics.utilisation(records, ["worker-3"]).to_dict() == {"worker-1": 3 / 8, "worker-2": 5 / 8, "worker-3": 0}


def test_lag_is_what_was_offered_and_not_finished(records):
    # tasks 2 and 3 are offered at 1; task 1 leaves at 2, task 3 at 4, task 2 with its second attempt at 8
    assert metrics.lag(records).to_dict() == {0.0: 1, 1.0: 3, 2.0: 2, 4.0: 1, 8.0: 0}


def test_a_task_that_never_succeeds_leaves_with_its_last_failure(attempt):
    failures = [attempt(0, 0, 1, number=1, outcome=FAILED), attempt(0, 2, 3, number=1, attempt=2, outcome=FAILED)]
    assert metrics.lag(to_frame(failures)).to_dict() == {0.0: 1, 3.0: 0}


def test_rates_over_time(records):
    rates = metrics.rates(records, bins=4)
    assert rates.index.tolist() == [1, 3, 5, 7]
    assert rates["offered_per_s"].tolist() == [1.5, 0, 0, 0]
    assert rates["served_per_s"].tolist() == [0, 0.5, 0.5, 0.5]


def test_what_was_turned_away_is_offered_on_top_and_not_accepted(records):
    start = records["scheduled_at"].min()
    away = turned_away_frame(
        TurnedAway(at=start + second, action="refuse", priority=0) for second in (-1.0, 1.0, 3.0, 3.0, 3.5, 8.5)
    )
    rates = metrics.rates(records, bins=4, turned_away=away)
    assert list(rates.columns) == ["offered_per_s", "accepted_per_s", "served_per_s"]
    assert rates["offered_per_s"].tolist() == [2, 1.5, 0, 0]
    assert rates["accepted_per_s"].tolist() == [1.5, 0, 0, 0]
    pd.testing.assert_series_equal(rates["served_per_s"], metrics.rates(records, bins=4)["served_per_s"])
    nothing = metrics.rates(records, bins=4, turned_away=away.iloc[:0])
    assert nothing["offered_per_s"].tolist() == nothing["accepted_per_s"].tolist()
    assert metrics.rates(to_frame([]), turned_away=away).empty


@pytest.fixture(scope="module")
def overload(attempt):
    """One task a second, of 0.5 s each, for 20 s. They wait 0.25 s, from 10 s on 4 s, from 15 s on 1 s less each."""
    waits = [0.25] * 10 + [4.0] * 5 + [3.0, 2.0, 1.0, 0.5, 0.25]
    return to_frame([attempt(n - wait, n, n + 0.5) for n, wait in enumerate(waits, start=1)])


def test_recovery_is_when_tasks_wait_about_as_long_as_before(overload):
    # tasks start at 1 s, 2 s, … after the one that was scheduled at 0.75 s
    recovery = partial(metrics.recovery_time, overload, 14.0, overload_begins=10.0, width=0.5)
    assert recovery(bound=0.0) == 5.25, "0.25 s at 20 s"
    assert recovery(bound=0.5) == 4.25, "0.5 s at 19 s"
    assert recovery(bound=3.75) == 0.25, "4 s are near enough"
    assert recovery() == recovery(bound=0.5), "the mean service time"
    assert metrics.recovery_time(overload, 17.5, overload_begins=10.0, width=0.5) == 0.75, "counted from the end"


def test_recovery_is_of_the_median_over_the_width(overload):
    recovery = partial(metrics.recovery_time, overload, 14.0, overload_begins=10.0, bound=1.0)
    assert recovery(width=0.5) == 3.25, "1 s at 18 s"
    assert recovery(width=3.5) == 5.25, "of 2 s, 1 s, 0.5 s and 0.25 s, which is 0.75 s, at 20 s"


def test_recovery_that_does_not_happen_takes_for_ever(overload):
    assert metrics.recovery_time(overload.iloc[:-2], 14.0, overload_begins=10.0, bound=0.25) == math.inf
    assert metrics.recovery_time(overload, 25.0, overload_begins=10.0) == math.inf, "nothing starts any more"
    assert math.isnan(metrics.recovery_time(overload, 14.0, overload_begins=0.25)), "nothing to compare with"
    assert math.isnan(metrics.recovery_time(to_frame([]), 14.0, overload_begins=1.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"overload_begins": 14.0}, "is 14 and 'overload_ends' 14; give an overload that begins before"),
        ({"overload_begins": -1.0}, "of 0 or more"),
        ({"width": 0.0}, "'width' of recovery_time is 0.0; give a finite number above 0"),
        ({"bound": -0.1}, "of 0 or more"),
    ],
)
def test_an_overload_that_cannot_be_is_refused(overload, change, message):
    with pytest.raises(ValueError, match=message):
        metrics.recovery_time(overload, 14.0, **({"overload_begins": 10.0} | change))


def test_waiting_over_time_is_nan_where_nothing_started(records):
    waiting = metrics.waiting_quantiles(records, bins=4)
    assert waiting.index.tolist() == [1, 3, 5, 7]
    np.testing.assert_allclose(waiting["p50"], [0, 2, 3, math.nan])


def test_lateness_of_the_generator(receipt):
    receipts = receipts_to_frame([receipt(n, scheduled_at=0.0, produced_at=n / 8) for n in range(5)])
    assert metrics.lateness(receipts).to_dict() == pytest.approx(
        {"p50": 0.25, "p90": 0.45, "p99": 0.495, "mean": 0.25, "max": 0.5}
    )


def test_evenness_by_hand():
    even = metrics.evenness([1, 9])
    assert even.coefficient_of_variation == 0.8
    assert even.max_over_mean == 1.8
    assert even.chi_square == pytest.approx(6.4)
    # one degree of freedom: the square of a standard normal number
    assert even.p_value == pytest.approx(math.erfc(math.sqrt(6.4 / 2)))


def test_evenness_against_given_shares():
    assert metrics.evenness([30, 10], [3, 1]).p_value == 1.0
    assert metrics.evenness([30, 10, 0], [3, 1, 0]).p_value == 1.0
    assert metrics.evenness([30, 10, 1], [3, 1, 0]).p_value == 0.0
    assert metrics.evenness(pd.Series({"a": 1, "b": 9})) == metrics.evenness([1, 9])


@pytest.mark.parametrize("expected", [[1], [1, -1], [0, 0]])
def test_shares_that_do_not_fit_are_refused(expected):
    with pytest.raises(ValueError, match="'expected' of evenness"):
        metrics.evenness([1, 2], expected)


@pytest.mark.parametrize("few", [[], [7], [0, 0]])
def test_nothing_to_compare_is_nan(few):
    assert math.isnan(metrics.evenness(few).p_value)


@settings(deadline=None)
@given(st.integers(1, 1000), st.integers(2, 12))
def test_equal_counts_are_even(count, bins):
    even = metrics.evenness([count] * bins)
    assert (even.coefficient_of_variation, even.max_over_mean, even.p_value) == (0.0, 1.0, 1.0)


@settings(deadline=None)
@given(counts, st.randoms())
def test_the_order_of_counts_does_not_matter(values, random):
    assume(any(values))
    mixed = random.sample(values, len(values))
    assert metrics.evenness(values).max_over_mean == pytest.approx(metrics.evenness(mixed).max_over_mean)
    assert 1 <= metrics.evenness(values).max_over_mean <= len(values) + 1e-9


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 12), st.booleans(), st.floats(0, 9)), min_size=1, max_size=30)
)
def test_counts_sum_to_the_tasks_and_the_lag_ends_at_zero(attempt, rows):
    records = to_frame(
        [
            attempt(begin, begin, begin + 1, partition=p, worker=f"worker-{w}", outcome="done" if done else FAILED)
            for p, w, done, begin in rows
        ]
    )
    done = sum(row[2] for row in rows)
    assert metrics.tasks_per_worker(records, ["worker-20"]).sum() == done
    assert metrics.tasks_per_partition(records, 6).sum() == done
    lag = metrics.lag(records)
    assert (lag >= 0).all()
    assert lag.iloc[-1] == 0
    rates = metrics.rates(records, bins=7)
    width = metrics.offered_and_finished(records)["finished_s"].max() / 7
    assert (rates.sum() * width).tolist() == pytest.approx([len(rows)] * 2)


def test_without_rows_tables_are_empty_and_numbers_nan(attempt):
    for records in (to_frame([]), to_frame([attempt(outcome=FAILED)])):
        assert metrics.tasks_per_worker(records, ["worker-1"]).tolist() == [0]
        assert metrics.tasks_per_partition(records, 2).tolist() == [0, 0]
        assert math.isnan(metrics.makespan(records))
        assert math.isnan(metrics.throughput(records))
        assert metrics.time_quantiles(records).shape == (3, 5)
        assert metrics.time_quantiles(records).isna().all(axis=None)
    assert metrics.rates(to_frame([])).empty
    assert metrics.lag(to_frame([])).empty
    assert metrics.waiting_quantiles(to_frame([])).empty
    assert metrics.utilisation(to_frame([])).empty


def test_one_instant_has_no_rate(attempt):
    records = to_frame([attempt(0, 0, 0)])
    assert math.isnan(metrics.throughput(records))
    assert metrics.rates(records).empty
    assert metrics.lag(records).to_dict() == {0.0: 0}
    assert metrics.utilisation(records).isna().all()


def test_names_are_ordered_as_people_count():
    assert metrics.by_number(["w-10", "w-2", "a", "w-2"]) == ["a", "w-2", "w-10"]


def test_attempts_side_by_side_never_overlap_in_their_lane():
    frame = pd.DataFrame({"started_at": [0.0, 1.0, 2.0, 2.5, 5.0], "finished_at": [3.0, 2.0, 4.0, 6.0, 7.0]})
    assert list(metrics.side_by_side(frame)) == [1, 2, 2, 3, 1]  # the lowest that is free
    assert metrics.side_by_side(frame.iloc[:0]).empty
