"""What is turned away is counted by moment, in bounded memory."""

from __future__ import annotations

import pytest

from labkit.measure import records
from labkit.measure.records import TurnedAway, TurnedAwayCounter, turned_away_frame


def test_the_counter_tells_what_the_list_would():
    away = [
        TurnedAway(at=number / 3, action=action, priority=0) for number in range(50) for action in ("spill", "refuse")
    ]
    counter = TurnedAwayCounter()
    for one in [*away, *away]:
        counter.add(one)
    assert counter.frame().equals(turned_away_frame([*away, *away]))
    assert counter.total() == 200
    assert list(turned_away_frame([]).dtypes) == list(counter.frame().dtypes)


def test_many_moments_are_counted_together_and_none_is_lost(monkeypatch):
    monkeypatch.setattr(records, "MOST_MOMENTS", 100)
    counter = TurnedAwayCounter()
    for number in range(5000):
        counter.add(TurnedAway(at=1000 + number * 0.1, action="refuse", priority=number % 2))
    frame = counter.frame()
    assert len(frame) <= 100
    assert frame["tasks"].sum() == counter.total() == 5000
    assert frame["at"].is_monotonic_increasing
    assert frame["at"].between(990, 1500).all()


@pytest.mark.parametrize("most", [1, 10, 100])
@pytest.mark.parametrize(
    "priorities",
    [
        pytest.param(range(500), id="many"),
        pytest.param([-1, 0, *(sign * 2**bits for bits in range(63) for sign in (1, -1)), -(2**63)], id="far apart"),
        pytest.param([2**63 - 1 - number for number in range(300)], id="the greatest"),
    ],
)
def test_many_priorities_are_counted_together_and_none_is_lost(monkeypatch, most, priorities):
    monkeypatch.setattr(records, "MOST_MOMENTS", most)
    counter = TurnedAwayCounter()
    for number, priority in enumerate(priorities):
        counter.add(TurnedAway(at=1000 + number * 0.1, action="refuse", priority=priority))
    frame = counter.frame()
    assert len(frame) <= max(most, 2)
    assert frame["tasks"].sum() == counter.total() == len(priorities)
    assert frame["priority"].min() <= min(priorities)
    assert frame["priority"].max() <= max(priorities)


def test_few_priorities_are_told_apart_however_many_moments_there_are(monkeypatch):
    monkeypatch.setattr(records, "MOST_MOMENTS", 100)
    counter = TurnedAwayCounter()
    for number in range(3000):
        counter.add(TurnedAway(at=float(number), action="refuse", priority=(-5, 7, 2**40)[number % 3]))
    assert counter.frame().groupby("priority")["tasks"].sum().to_dict() == {-5: 1000, 7: 1000, 2**40: 1000}
