"""Earliest deadline first."""

from labkit.policies import make_policy

EDF = make_policy("earliest_deadline")


def test_what_is_due_first_goes_first(view_of):
    decision = EDF.decide(view_of((1, 0.0, 9.0), (3, 4.0, 5.0), (1, 0.0, 7.0)), 4.0)
    assert decision.start == "b"
    assert decision.held == {"a": "another class is due earlier", "c": "another class is due earlier"}


def test_what_is_late_is_still_done(view_of):
    assert EDF.decide(view_of((1, 0.0, 2.0), (1, 0.0, 1.0)), 50.0).start == "b"


def test_of_equals_and_without_a_deadline_the_more_urgent_one_goes_first(view_of):
    assert EDF.decide(view_of(0, (1, 0.0, 2.0), (1, 0.0, 2.0)), 0.0).start == "b"
    assert EDF.decide(view_of((1, 0.0, None), (1, 9.0, 50.0)), 9.0).start == "b"
    assert EDF.decide(view_of((1, 5.0, None), (1, 0.0, None)), 9.0).start == "a"
