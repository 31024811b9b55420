"""The simulated admission: by hand, and by laws that hold for every run."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from labkit.backpressure import make_strategy
from labkit.measure.records import TURNED_AWAY_COLUMNS
from labkit.measure.task_record import COLUMNS
from labkit.simulate.pressure import Retries, simulate_pressure

#: Each strategy with options so tight that it does something in a short run.
TIGHT = {
    "unlimited": {},
    "refuse": {"limit": 3},
    "slow": {"threshold": 1, "per_task": 0.3, "look": 0.2},
    "pause": {"high": 4, "low": 1, "look": 0.2},
    "shed_newest": {"limit": 3},
    "shed_lowest": {"limit": 3},
    "spill": {"limit": 3},
    "token_bucket": {"rate": 2.0, "burst": 2},
    "aimd": {"target": 1.0, "start": 3},
}


def simulate(name, scheduled_at, service, servers=1, **options):
    return simulate_pressure(
        make_strategy(name, **TIGHT[name]), scheduled_at=scheduled_at, service=service, servers=servers, **options
    )


def rows(frame, *columns):
    return [tuple(row) for row in frame[list(columns)].itertuples(index=False)]


# --- by hand


def test_one_server_and_nothing_at_the_door():
    records, away = simulate("unlimited", [0.0, 0.5, 4.0], [2.0, 1.0, 0.5])
    assert tuple(records.columns) == COLUMNS
    assert rows(records, "task_id", "offset", "attempt", "scheduled_at", "started_at", "finished_at") == [
        ("task-1", 0, 1, 0.0, 0.0, 2.0),
        ("task-2", 1, 1, 0.5, 2.0, 3.0),
        ("task-3", 2, 1, 4.0, 4.0, 4.5),
    ]
    assert tuple(away.columns) == TURNED_AWAY_COLUMNS
    assert away.empty


@pytest.mark.parametrize(("name", "action"), [("refuse", "refuse"), ("shed_newest", "shed_newest"), ("spill", "spill")])
def test_what_finds_the_queue_full_is_turned_away(name, action):
    records, away = simulate(name, [0.0, 0.1, 0.2, 0.5, 0.5, 1.0], [1.0] * 6)
    assert records["task_id"].tolist() == ["task-1", "task-2", "task-3", "task-6"]
    assert rows(away, *TURNED_AWAY_COLUMNS) == [(0.5, action, 0, 2)]


def test_the_newest_of_the_lowest_class_makes_room():
    records, away = simulate("shed_lowest", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5], [1.0] * 6, rank=[2, 1, 1, 0, 0, 0])
    assert records["task_id"].tolist() == ["task-1", "task-4", "task-5"], "what is in work is not shed"
    assert records["priority"].tolist() == [2, 0, 0]
    one_shed, _ = simulate("shed_lowest", [0.0, 0.1, 0.2, 0.3], [1.0] * 4, rank=[2, 1, 1, 0])
    assert one_shed["task_id"].tolist() == ["task-1", "task-2", "task-4"], "task-3 was the newer one"
    assert rows(away, "at", "action", "priority") == [
        (0.3, "shed_lowest", 1),
        (0.4, "shed_lowest", 1),
        (0.5, "shed_newest", 0),
    ]


def test_who_is_told_to_wait_holds_up_those_behind():
    records, away = simulate("token_bucket", [0.0, 0.0, 0.0, 0.1, 2.0], [0.1] * 5, servers=5)
    assert rows(records, "task_id", "received_at") == [
        ("task-1", 0.0),
        ("task-2", 0.0),
        ("task-3", 0.5),
        ("task-4", 1.0),
        ("task-5", 2.0),
    ]
    assert away.empty


def test_a_pause_keeps_the_wait_in_front_of_the_door():
    records, _ = simulate("pause", [0.0] * 6, [1.0] * 6)
    # four are let in; one is left just after 3 s, and it looked every 0.2 s
    received = records["received_at"].tolist()
    assert received[:4] == [0.0] * 4
    assert received[4:] == pytest.approx([3.0, 3.0], abs=0.2)
    assert records["finished_at"].tolist() == pytest.approx([1, 2, 3, 4, 5, 6])


def test_nobody_asks_before_the_time_is_over():
    records, _ = simulate("pause", [0.0, 0.0, 0.0, 0.0, 0.1, 3.05], [1.0] * 6)
    # there is room from 3 s on; the one in front had asked at 0.1 s, 0.3 s, … 2.9 s
    assert records["received_at"].tolist()[4:] == pytest.approx([3.1, 3.1])


def test_a_client_who_hears_nothing_sends_again_and_both_copies_are_served():
    records, _ = simulate("unlimited", [0.0, 0.5], [2.0, 1.0], retries=Retries(patience=1.0, copies=3))
    assert rows(records, "task_id", "attempt", "scheduled_at", "produced_at", "started_at", "finished_at") == [
        ("task-1", 1, 0.0, 0.0, 0.0, 2.0),
        ("task-2", 1, 0.5, 0.5, 2.0, 3.0),
        # at 2 s the first client has just heard
        ("task-1", 2, 0.0, 1.0, 3.0, 5.0),
        ("task-2", 2, 0.5, 1.5, 5.0, 6.0),
        ("task-2", 3, 0.5, 2.5, 6.0, 7.0),
    ]


def test_who_is_refused_hears_of_it_and_who_is_shed_does_not():
    columns = {"scheduled_at": [0.0] * 4, "service": [1.0] * 4, "retries": Retries(patience=3.5, copies=2)}
    refused = simulate("refuse", **columns)
    assert (len(refused.records), refused.turned_away["tasks"].sum()) == (3, 1)
    shed = simulate("shed_newest", **columns)
    assert (len(shed.records), shed.turned_away["tasks"].sum()) == (4, 1)
    assert rows(shed.records, "task_id", "attempt", "started_at")[-1] == ("task-4", 2, 3.5)


def test_nothing_to_do():
    records, away = simulate("refuse", [], [])
    assert records.empty
    assert away.dtypes.astype(str).to_dict() == {
        "at": "float64",
        "action": "str",
        "priority": "int64",
        "tasks": "int64",
    }


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"servers": 0}, "of 1 or more"),
        ({"service": [1.0]}, "give as many of each"),
        ({"rank": [0]}, "give as many of each"),
    ],
)
def test_what_makes_no_sense_is_refused(columns, message):
    given = {"scheduled_at": [0.0, 1.0], "service": [1.0, 1.0], "servers": 1}
    with pytest.raises(ValueError, match=message):
        simulate_pressure(make_strategy("unlimited"), **(given | columns))


# --- by law

names = st.sampled_from(sorted(TIGHT))
tasks = st.lists(st.tuples(st.floats(0.0, 10.0), st.floats(0.0, 2.0), st.integers(0, 2)), max_size=25)


@settings(deadline=None)
@given(name=names, tasks=tasks, servers=st.integers(1, 3))
@example(name="refuse", tasks=[(0.1, 0.0, 0), (0.4539490667550528, 0.0, 0)], servers=1)  # 0.1 + the gap is less
def test_every_task_is_done_or_turned_away(name, tasks, servers):
    scheduled_at, service, rank = ([task[column] for task in tasks] for column in range(3))
    records, away = simulate(name, scheduled_at, service, servers, rank=rank)
    assert records["task_id"].is_unique
    assert len(records) + away["tasks"].sum() == len(tasks)
    moments = records[["scheduled_at", "produced_at", "received_at", "started_at", "finished_at"]].to_numpy()
    assert (np.diff(moments, axis=1) >= 0).all()
    assert records.sort_values("offset")["started_at"].is_monotonic_increasing, "first come, first served"
    for moment in records["received_at"]:
        unfinished = (records["received_at"] <= moment) & (records["finished_at"] > moment)
        assert unfinished.sum() <= TIGHT[name].get("limit", len(tasks))


@settings(deadline=None)
@given(name=names, tasks=tasks, patience=st.floats(0.1, 3.0), copies=st.integers(1, 4))
def test_every_copy_sent_is_done_or_turned_away(name, tasks, patience, copies):
    scheduled_at, service, _ = ([task[column] for task in tasks] for column in range(3))
    records, away = simulate(name, scheduled_at, service, retries=Retries(patience, copies))
    assert len(records) + away["tasks"].sum() <= copies * len(tasks)
    heard_at: dict[str, float] = {}
    for task, attempt, scheduled, produced, finished in rows(
        records, "task_id", "attempt", "scheduled_at", "produced_at", "finished_at"
    ):
        assert 1 <= attempt <= copies
        assert produced == pytest.approx(scheduled + (attempt - 1) * patience)
        assert produced <= heard_at.setdefault(task, finished), "who has heard sends no more"
    assert not records.duplicated(["task_id", "attempt"]).any()


def test_a_run_can_be_repeated():
    rng = np.random.default_rng(7)
    columns = (rng.exponential(0.4, 200).cumsum(), rng.exponential(1.0, 200))
    one, other = (simulate("aimd", *columns, retries=Retries(2.0, 2)) for _ in range(2))
    pd.testing.assert_frame_equal(one.records, other.records)
    pd.testing.assert_frame_equal(one.turned_away, other.turned_away)
    assert not one.turned_away.empty
