"""A history from dead letters: whose they are, and what their topic has lost."""

from __future__ import annotations

import pytest

from labkit.faults import DEAD_THOUGH_DONE, DEAD_TWICE, LOST, LOST_IN_REPLAY, check, from_records
from labkit.measure import to_frame
from labkit.taskqueue.transport.contract import Record
from tests.unit.faults.names import names_in
from tests.unit.faults.test_sources import attempt, written


def letter(offset, group, worker="worker-1", *, at=3.5):
    facts = [("dead-topic", b"t"), ("dead-partition", b"0"), ("dead-offset", b"%d" % offset), ("dead-error", b"e")]
    facts += [("dead-worker", worker.encode()), ("dead-at", repr(at).encode())]
    facts += [] if group is None else [("dead-group", group.encode())]
    return written(offset, tuple(facts))._replace(topic="t.dead", key=b"t/0/%d" % offset)


def tombstone(offset, gone, group=None):
    headers = (("dead-gone", gone), *([] if group is None else [("dead-group", group.encode())]))
    return Record("t.dead", 0, 9, b"t/0/%d" % offset, None, headers, 2500)


def given_up(offset, worker="worker-1"):
    return attempt(offset, 1.0, 2.0, outcome="dead", error="ValueError: no", worker=worker)


def names(records, dead, **more):
    return names_in(check(from_records(to_frame(records), written=[written(0)], dead=dead, group="a", **more)))


def of_topic(record, topic_id):
    """The same of the topic with this id."""
    return record._replace(key=record.key + b"/" + topic_id)


def test_of_letters_from_one_place_of_a_topic_that_was_made_anew_the_last_ones_count():
    before, last = of_topic(letter(0, "a", "worker-2"), b"id-1"), of_topic(letter(0, "a"), b"id-2")
    assert names([given_up(0)], [before, last]) == set()
    assert names([given_up(0)], [before, of_topic(tombstone(0, b"replayed", "a"), b"id-1"), last]) == set()
    assert names([given_up(0)], [last, of_topic(letter(0, "a", "worker-2"), b"id-2")]) == {DEAD_TWICE}
    gone = of_topic(tombstone(0, b"replayed", "a"), b"id-2")
    assert names([given_up(0)], [last, gone]) == {LOST, LOST_IN_REPLAY}


def test_two_groups_may_bury_the_same_task():
    letters = [letter(0, "a"), letter(0, "b")]
    apart = [from_records(to_frame([given_up(0)]), written=[written(0)], dead=letters, group=g) for g in ("a", "b")]
    assert [check(history).ok(allow=()) for history in apart] == [True, True]
    assert check([*apart[0], *apart[1]]).ok(allow=())


def test_a_group_that_buries_a_task_twice_is_told():
    assert names([given_up(0)], [letter(0, "a"), letter(0, "b"), letter(0, "a", "worker-2")]) == {DEAD_TWICE}


def test_a_letter_of_another_group_does_not_contradict_who_finished_the_task():
    assert names([attempt(0, 1.0, 2.0)], [letter(0, "b")]) == set()
    assert names([attempt(0, 1.0, 2.0)], [letter(0, "a")]) == {DEAD_THOUGH_DONE}


def test_a_letter_of_another_group_does_not_hide_a_loss():
    assert names([attempt(9, 1.0, 2.0)], [letter(0, "b")]) == {LOST}
    assert names([attempt(9, 1.0, 2.0)], [letter(0, "a")]) == set()


@pytest.mark.parametrize("gone", [b"replayed", b"dropped"])
@pytest.mark.parametrize(
    "dead", [lambda gone: [tombstone(0, gone, "b")], lambda gone: [letter(0, "b"), tombstone(0, gone)]]
)
def test_nor_does_its_tombstone(dead, gone):
    again = written(0)._replace(offset=5)
    history = from_records(to_frame([attempt(9, 1.0, 2.0)]), written=[written(0), again], dead=dead(gone), group="a")
    assert [anomaly.offset for anomaly in check(history).anomalies[LOST]] == [0]


def test_the_letter_of_another_group_may_have_replaced_ones_own():
    """Letters of one record have one key, and their topic is compacted."""
    assert names([given_up(0)], [letter(0, "b")]) == set()
    assert names([given_up(0)], [tombstone(0, b"dropped", "b")]) == set()
    assert names([given_up(0)], [tombstone(0, b"replayed", "b")]) == {LOST, LOST_IN_REPLAY}
    assert names([given_up(0)], []) == {LOST}


def test_a_letter_or_tombstone_that_names_no_group_may_be_anybodys():
    assert names([attempt(9, 1.0, 2.0)], [letter(0, None)]) == set()
    assert names([attempt(9, 1.0, 2.0)], [tombstone(0, b"dropped")]) == set()


def test_without_a_group_all_letters_count():
    history = from_records(to_frame([given_up(0)]), written=[written(0)], dead=[letter(0, "a"), letter(0, "b")])
    assert names_in(check(history)) == {DEAD_TWICE}
