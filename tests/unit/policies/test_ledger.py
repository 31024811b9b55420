"""What a dispatcher remembers."""

import pytest

from labkit.errors import SettingsError
from labkit.policies import Backlog, Decision, Ledger, PriorityClass

CLASSES = [PriorityClass(name="high", weight=4.0), PriorityClass(name="low", share=0.2, limit=7)]
WAITS = Backlog(waiting=2, arrived_at=1.0, deadline=9.0)
EMPTY = Backlog(waiting=0, arrived_at=None, deadline=None)


def test_a_view_shows_the_classes_their_backlogs_and_what_was_noted():
    ledger = Ledger(CLASSES)
    ledger.note(Decision(start="low", held={}, credits={"low": 0.5}))
    view = ledger.view([EMPTY, WAITS], taken=3, capacity=4)
    assert (view.taken, view.capacity, view.full, view.last) == (3, 4, False, "low")
    high, low = view.classes
    assert (high.name, high.rank, high.waiting, high.weight, high.credit) == ("high", 0, 0, 4.0, 0.0)
    assert (low.rank, low.waiting, low.arrived_at, low.deadline) == (1, 2, 1.0, 9.0)
    assert (low.share, low.limit, low.credit) == (0.2, 7, 0.5)
    assert view.backlogged == (low,)


def test_nothing_is_owed_to_a_class_that_had_nothing_to_do():
    ledger = Ledger(CLASSES)
    ledger.note(Decision(start="low", held={}, credits={"low": 0.5, "high": 2.0}))
    ledger.view([WAITS, EMPTY], taken=0, capacity=1)
    high, low = ledger.view([WAITS, WAITS], taken=0, capacity=1).classes
    assert (high.credit, low.credit) == (2.0, 0.0)


def test_a_decision_to_start_nothing_changes_nothing():
    ledger = Ledger(CLASSES)
    before = ledger.view([WAITS, WAITS], taken=1, capacity=1)
    ledger.note(Decision(start=None, held={"high": "the queue is full"}))
    assert ledger.view([WAITS, WAITS], taken=1, capacity=1) == before


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([], "no priority class"),
        ([PriorityClass(name="a"), PriorityClass(name="b"), PriorityClass(name="a")], "two priority classes named 'a'"),
        ([PriorityClass(name="a", share=0.7), PriorityClass(name="b", share=0.4)], "add up to 1.1"),
    ],
)
def test_classes_that_do_not_go_together_are_refused(classes, message):
    with pytest.raises(SettingsError, match=message):
        Ledger(classes)


def test_ten_shares_of_a_tenth_are_all():
    Ledger([PriorityClass(name=str(number), share=0.1) for number in range(10)])


def test_there_is_one_backlog_per_class():
    with pytest.raises(ValueError, match="shorter"):
        Ledger(CLASSES).view([WAITS], taken=0, capacity=1)
