"""Strict priority."""

from labkit.policies import PriorityClass, make_policy

CLASSES = [PriorityClass(name=name) for name in "abc"]


def test_the_most_urgent_class_goes_first(view_of):
    decision = make_policy("strict").decide(view_of(0, (1, 5.0, 6.0), (9, 0.0, 1.0)), 5.0)
    assert decision.start == "b"
    assert decision.held == {"c": "a more urgent class waits"}


def test_the_others_starve_while_it_waits(counter):
    dispatcher = counter(make_policy("strict"), CLASSES)
    assert dispatcher.start_many(100, refill=[0, 1, 2]) == [0] * 100
    dispatcher.waiting[0] = 0
    assert dispatcher.start_many(3, refill=[1, 2]) == [1] * 3
