"""The simulated dispatcher: by hand, and by laws that hold for every run."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import SettingsError
from labkit.measure.metrics import tasks_per_worker, times
from labkit.measure.task_record import COLUMNS
from labkit.policies import POLICIES, PriorityClass, make_policy
from labkit.simulate.dispatch import poisson_arrivals, simulate_dispatch

SEED = 20_25
HIGH, LOW = PriorityClass(name="high"), PriorityClass(name="low")

on_one_server = partial(simulate_dispatch, servers=1, capacity=1)


def in_order_of_starting(records):
    return records.sort_values("started_at", kind="stable")["task_id"].tolist()


# --- by hand


def test_one_server_and_two_classes():
    records = on_one_server(
        make_policy("strict"),
        [HIGH, LOW],
        rank=[1, 1, 0, 0],
        scheduled_at=[0.0, 0.5, 1.0, 3.5],
        service=[2.0, 1.0, 1.0, 0.5],
    )
    assert tuple(records.columns) == COLUMNS
    columns = ["task_id", "topic", "priority", "offset", "received_at", "started_at", "finished_at"]
    assert [tuple(row) for row in records[columns].itertuples(index=False)] == [
        ("task-1", "low", 1, 0, 0.0, 0.0, 2.0),
        ("task-3", "high", 0, 0, 2.0, 2.0, 3.0),
        ("task-2", "low", 1, 1, 3.0, 3.0, 4.0),
        ("task-4", "high", 0, 1, 4.0, 4.0, 4.5),
    ]


def test_what_is_started_is_served_first_come_first_served():
    columns = {"rank": [1, 1, 1, 0], "scheduled_at": [0.0, 0.1, 0.2, 0.3], "service": [1.0] * 4, "servers": 1}
    strict = partial(simulate_dispatch, make_policy("strict"), [HIGH, LOW], **columns)
    assert in_order_of_starting(strict(capacity=1)) == ["task-1", "task-4", "task-2", "task-3"]
    queued = strict(capacity=2)
    assert in_order_of_starting(queued) == ["task-1", "task-2", "task-4", "task-3"]
    assert queued.set_index("task_id").loc["task-4", ["received_at", "started_at"]].tolist() == [1.0, 2.0]
    assert in_order_of_starting(strict(capacity=4)) == ["task-1", "task-2", "task-3", "task-4"]


def test_reserve_starts_the_urgent_class_beyond_the_capacity():
    records = on_one_server(
        make_policy("reserve"),
        [HIGH, LOW],
        rank=[1, 1, 0, 0],
        scheduled_at=[0.0, 0.1, 0.2, 0.3],
        service=[1.0] * 4,
    )
    received = records.set_index("task_id")["received_at"]
    assert received.to_dict() == {"task-1": 0.0, "task-2": 3.0, "task-3": 0.2, "task-4": 0.3}


def test_the_newest_is_shed():
    low = PriorityClass(name="low", limit=1)
    records = on_one_server(
        make_policy("strict"),
        [HIGH, low],
        rank=[1, 1, 1, 0],
        scheduled_at=[0.0, 0.1, 0.2, 0.3],
        service=[1.0] * 4,
    )
    assert in_order_of_starting(records) == ["task-1", "task-4", "task-2"]


def test_deadlines_count_from_the_arrival():
    classes = [PriorityClass(name="lax", relative_deadline=5.0), PriorityClass(name="tight", relative_deadline=1.0)]
    records = on_one_server(
        make_policy("earliest_deadline"),
        classes,
        rank=[0, 0, 1, 1],
        scheduled_at=[0.0, 0.1, 3.0, 4.2],
        service=[5.0] * 4,
    )
    assert in_order_of_starting(records) == ["task-1", "task-3", "task-2", "task-4"]


def test_all_servers_work():
    rng = np.random.default_rng(SEED)
    records = simulate_dispatch(
        make_policy("strict"),
        [HIGH, LOW],
        **poisson_arrivals([1.0, 1.0], 200, rng)._asdict(),
        service=rng.exponential(1.0, size=200),
        servers=3,
        capacity=3,
    )
    assert set(tasks_per_worker(records).index) == {"worker-1", "worker-2", "worker-3"}
    assert len(records) == 200


def test_columns_in_another_order_than_by_time():
    records = on_one_server(make_policy("strict"), [HIGH], rank=[0, 0], scheduled_at=[1e9 + 5, 1e9], service=[1, 1])
    assert in_order_of_starting(records) == ["task-2", "task-1"]
    assert records["offset"].tolist() == [0, 1]


def test_no_task_leaves_no_record():
    assert on_one_server(make_policy("strict"), [HIGH], rank=[], scheduled_at=[], service=[]).empty


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"servers": 0}, ValueError, "'servers' of simulate_dispatch is 0; give a whole number of 1 or more"),
        ({"capacity": 0}, ValueError, "'capacity' of simulate_dispatch is 0"),
        ({"service": [1.0]}, ValueError, "give as many of each"),
        ({"rank": [0, 2]}, ValueError, "give ranks from 0 to 1"),
        ({"rank": [0, -1]}, ValueError, "in which each is a whole number of 0 or more"),
        ({"classes": [HIGH, HIGH]}, SettingsError, "two priority classes"),
    ],
)
def test_what_cannot_be_is_refused(change, error, message):
    given = {"classes": [HIGH, LOW], "rank": [0, 1], "scheduled_at": [0.0, 1.0], "service": [1.0, 1.0]}
    with pytest.raises(error, match=message):
        simulate_dispatch(make_policy("strict"), **{**given, "servers": 1, "capacity": 1, **change})


# --- laws that hold for every run


def every_policy_on(tasks, servers, capacity):
    """The records of each policy, with the same arrivals and one constant service time."""
    rank, gaps = zip(*tasks, strict=True)
    classes = [
        PriorityClass(
            name=f"class-{number}", weight=1 + number, share=number / 10, relative_deadline=3.0 / (1 + number)
        )
        for number in range(4)
    ]
    return {
        name: simulate_dispatch(
            make_policy(name),
            classes,
            rank=rank,
            scheduled_at=np.cumsum(gaps),
            service=[1.0] * len(tasks),
            servers=servers,
            capacity=capacity,
        )
        for name in sorted(POLICIES)
    }


@pytest.mark.slow
@settings(deadline=None, max_examples=min(40, settings.default.max_examples))
@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1.5)), min_size=1, max_size=40),
    st.integers(1, 3),
    st.integers(0, 5),
)
def test_conservation_no_policy_makes_waiting_less_on_the_whole(tasks, servers, queue):
    """With equal service times the whole wait of all tasks is the same, run by run (Kleinrock 1965)."""
    runs = every_policy_on(tasks, servers, servers + queue)
    total = {name: times(records)["waiting_s"].sum() for name, records in runs.items()}
    assert total == pytest.approx(dict.fromkeys(total, total["strict"]), abs=1e-6)
    for records in runs.values():
        assert len(records) == len(tasks)
        assert (records["received_at"] >= records["scheduled_at"]).all()
        assert (records["started_at"] >= records["received_at"]).all()
        for _, own in records.groupby("priority"):
            assert own.sort_values("started_at", kind="stable")["received_at"].is_monotonic_increasing
        for _, own in records.sort_values("started_at").groupby("worker"):
            assert (own["started_at"].to_numpy()[1:] >= own["finished_at"].to_numpy()[:-1]).all()


def test_arrivals_are_poisson_with_the_given_rates():
    rank, scheduled_at = poisson_arrivals([1.0, 0.0, 3.0], 40_000, np.random.default_rng(SEED))
    # 4 standard errors of a Poisson count
    assert 40_000 / scheduled_at[-1] == pytest.approx(4.0, rel=4 / math.sqrt(40_000))
    assert np.bincount(rank)[1] == 0
    assert np.bincount(rank)[0] == pytest.approx(10_000, rel=4 / math.sqrt(10_000))
    gaps = np.diff(scheduled_at[rank == 0])
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05), "exponential"


@pytest.mark.parametrize("rates", [[], [0.0], [1.0, -0.5]])
def test_rates_that_cannot_be_are_refused(rates):
    with pytest.raises(ValueError, match=r"'rates' of poisson_arrivals is"):
        poisson_arrivals(rates, 5, np.random.default_rng(SEED))
