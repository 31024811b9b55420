"""What is turned away is counted by moment, in bounded memory."""

from __future__ import annotations

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
