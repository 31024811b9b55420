"""The original design: high always goes, low waits while the queue is full."""

from labkit.policies import PriorityClass, make_policy

RESERVE = make_policy("reserve")


def test_an_urgent_task_does_not_ask_whether_there_is_room(view_of):
    assert RESERVE.decide(view_of(1, 1, taken=9, capacity=4), 0.0).start == "a"


def test_the_others_ask(view_of):
    assert RESERVE.decide(view_of(0, 1, 1, taken=4, capacity=4), 0.0).start is None
    decision = RESERVE.decide(view_of(0, 1, 1, taken=3, capacity=4), 0.0)
    assert (decision.start, decision.held) == ("b", {"c": "a more urgent class waits"})


def test_while_urgent_tasks_keep_coming_a_class_with_a_limit_sheds_at_the_end_of_the_round(view_of):
    classes = [PriorityClass(name="high"), PriorityClass(name="low", limit=1)]
    assert RESERVE.decide(view_of(1, 2, taken=1, classes=classes), 0.0).shed == ()
    assert RESERVE.decide(view_of(0, 2, taken=2, classes=classes), 0.0).shed == ("low",)
