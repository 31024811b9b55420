"""What all policies have in common."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import SettingsError
from labkit.policies import POLICIES, PriorityClass, make_policy

every_policy = pytest.mark.parametrize("name", sorted(POLICIES))
# how many wait, when the first arrived, when it is due
backlogs = st.tuples(st.integers(0, 5), st.floats(0, 10), st.none() | st.floats(0, 20))


@every_policy
@settings(deadline=None)
@given(waiting=st.lists(backlogs, min_size=1, max_size=5), taken=st.integers(0, 3))
def test_a_decision_accounts_for_every_class_that_waits(name, view_of, waiting, taken):
    view = view_of(*waiting, taken=taken, capacity=3)
    decision = make_policy(name).decide(view, 10.0)
    ready = {one.name for one in view.classes if one.waiting}
    started = {decision.start} - {None}
    assert started | decision.held.keys() == ready
    assert not started & decision.held.keys()
    assert not decision.shed, "no class has a limit"
    if ready and taken < 3:
        assert started, "no policy leaves room unused while a task waits"
    assert decision == make_policy(name).decide(view, 10.0), "pure"


@every_policy
def test_without_room_only_reserve_starts_and_only_the_most_urgent_class(name, view_of):
    decision = make_policy(name).decide(view_of(1, 1, taken=1), 0.0)
    assert decision.start == ("a" if name == "reserve" else None)
    assert decision.held["b"] == "the queue is full"


@every_policy
def test_a_class_sheds_what_is_above_its_limit_once_nothing_can_be_started(name, view_of):
    classes = [PriorityClass(name="a"), PriorityClass(name="b", limit=2), PriorityClass(name="c", limit=0)]
    policy = make_policy(name)
    assert policy.decide(view_of(0, 3, 1, taken=1, classes=classes), 0.0).shed == ("b", "c")
    assert policy.decide(view_of(0, 2, 0, taken=1, classes=classes), 0.0).shed == ()
    assert policy.decide(view_of(0, 3, 1, taken=0, classes=classes), 0.0).shed == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("weight", 0.0),
        ("weight", float("inf")),
        ("weight", float("nan")),
        ("share", -0.1),
        ("share", 1.1),
        ("share", float("nan")),
        ("relative_deadline", -1.0),
        ("relative_deadline", float("nan")),
        ("limit", -1),
    ],
)
def test_a_class_that_makes_no_sense_is_refused(field, value):
    with pytest.raises(SettingsError, match="Class 'low'"):
        PriorityClass(name="low", **{field: value})
