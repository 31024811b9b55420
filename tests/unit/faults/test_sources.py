"""A history from records, receipts and what is on the topics."""

from __future__ import annotations

import pandas as pd
import pytest

from labkit.errors import HistoryUnreadable
from labkit.faults import (
    DEAD_TWICE,
    DUPLICATE,
    GOING_BACK,
    LOST,
    OUT_OF_ORDER,
    REUSED_ID,
    UNWRITTEN,
    Event,
    check,
    from_records,
)
from labkit.measure import Receipt, TaskRecord, receipts_to_frame, to_frame
from labkit.taskqueue.dead_letter import encode_dead_letter
from labkit.taskqueue.record_format import copied
from labkit.taskqueue.task import Task
from labkit.taskqueue.topic import Topic
from labkit.taskqueue.transport.contract import NO_OFFSET, Record
from labkit.taskqueue.transport.memory import MemoryTransport
from tests.unit.faults.names import names_in


def attempt(offset, received, finished, *, started=None, **fields):
    given = {
        "task_id": f"task-{offset}",
        "kind": "work",
        "topic": "t",
        "partition": 0,
        "offset": offset,
        "key": "k",
        "priority": 0,
        "worker": "worker-1",
        "attempt": 1,
        "scheduled_at": 0.0,
        "produced_at": 0.0,
        "acknowledged_at": None,
        "received_at": received,
        "started_at": received if started is None else started,
        "finished_at": finished,
        "outcome": "done",
        "error": None,
    }
    return TaskRecord(**(given | fields))


def receipt(number, **fields):
    given = {
        "task_id": f"task-{number}",
        "topic": "t",
        "partition": 0,
        "offset": number,
        "scheduled_at": 0.0,
        "produced_at": 0.0,
        "acknowledged_at": 0.5,
        "error": None,
    }
    return Receipt(**(given | fields))


def written(offset, headers=()):
    key, value, own = Task(id=f"task-{offset}", kind="work", key="k").encode()
    return Record("t", 0, offset, key, value, (*own, *headers), 0)


def letter(offset, worker="worker-1"):
    origin = (("dead-partition", b"0"), ("dead-offset", b"%d" % offset), ("dead-worker", worker.encode()))
    return written(offset, (*origin, ("dead-at", b"3.5"), ("dead-error", b"ValueError: no")))


def shape(history, by):
    return [(e.what, e.offset) for e in sorted(history, key=lambda e: e.seq) if e.by == by]


def test_an_attempt_is_received_started_and_finished_in_the_workers_own_order():
    history = from_records(to_frame([attempt(0, 1.0, 4.0), attempt(1, 1.0, 3.0, started=2.0)]))
    assert shape(history, "worker-1") == [
        ("received", 1),
        ("received", 0),
        ("started", 0),
        ("started", 1),
        ("finished", 1),
        ("finished", 0),
    ]
    first = history[0]
    assert (first.task, first.key, first.partition, first.attempt, first.at) == ("task-1", "k", 0, 1, 1.0)


def test_at_one_moment_a_record_ends_before_the_next_begins():
    records = to_frame([attempt(0, 1.0, 1.0), attempt(1, 1.0, 1.0), attempt(2, 1.0, 1.0)])
    assert check(from_records(records)).ok(allow=())


def test_a_retry_was_received_once():
    tried = attempt(0, 1.0, 2.0, outcome="failed", error="ValueError: no")
    again = attempt(0, 1.0, 5.0, started=4.0, attempt=2)
    history = from_records(to_frame([tried, again]))
    assert shape(history, "worker-1") == [(w, 0) for w in ("received", "started", "failed", "started", "finished")]
    assert [event.note for event in history if event.note] == ["ValueError: no"]
    assert check(history).redeliveries == 0


def test_the_same_record_received_later_is_a_redelivery():
    verdict = check(from_records(to_frame([attempt(0, 1.0, 2.0), attempt(0, 8.0, 9.0, worker="worker-2")])))
    assert (verdict.redeliveries, verdict.attempts) == (1, 2)
    assert names_in(verdict) == {DUPLICATE}


def test_tasks_of_a_key_side_by_side_show_in_the_records():
    records = to_frame([attempt(0, 1.0, 4.0), attempt(1, 1.0, 3.0, started=2.0)])
    assert names_in(check(from_records(records))) == {OUT_OF_ORDER}


def test_receipts_tell_what_was_sent_acknowledged_and_refused():
    refused = receipt(1, partition=None, offset=None, acknowledged_at=None, error="too large")
    history = from_records(to_frame([]), receipts_to_frame([receipt(0), refused]))
    assert [(e.what, e.task, e.partition, e.offset, e.note) for e in history] == [
        ("sent", "task-0", None, None, None),
        ("sent", "task-1", None, None, None),
        ("refused", "task-1", None, None, "too large"),
        ("acknowledged", "task-0", 0, 0, None),
    ]
    assert {name: len(found) for name, found in check(history).anomalies.items() if found} == {LOST: 1}


def test_without_acks_a_receipt_has_no_offset():
    history = from_records(to_frame([attempt(0, 1.0, 2.0)]), receipts_to_frame([receipt(0, offset=NO_OFFSET)]))
    assert history[-1].offset is None
    assert check(history).ok(allow=())


def test_the_topic_tells_what_is_written():
    records, receipts = to_frame([attempt(0, 1.0, 2.0)]), receipts_to_frame([receipt(0), receipt(1)])
    assert names_in(check(from_records(records, receipts, written=[written(0)]))) == {LOST, UNWRITTEN}
    assert names_in(check(from_records(records, receipts, written=[written(0), written(1)]))) == {LOST}


def test_a_record_that_is_no_task_needs_none():
    bad = Record("t", 0, 0, None, b"\x00", (), 0)
    given_up = attempt(0, 1.0, 1.0, task_id="", key=None, outcome="bad", error="BadRecord: …")
    history = from_records(to_frame([given_up]), written=[bad])
    assert [event.task for event in history] == [None] * len(history)
    assert check(history).ok(allow=())


def test_what_was_given_up_counts_as_dead_until_the_dead_letters_are_read():
    given_up = [attempt(0, 1.0, 2.0, outcome="dead"), attempt(0, 8.0, 9.0, outcome="dead", worker="worker-2")]
    frame = to_frame(given_up)
    assert check(from_records(frame, written=[written(0)])).ok(allow=())
    assert names_in(check(from_records(frame, written=[written(0)], dead=[]))) == {LOST}
    assert check(from_records(frame, written=[written(0)], dead=[letter(0)])).ok(allow=())


def test_dead_letters_tell_where_they_come_from_and_tombstones_nothing():
    history = from_records(to_frame([]), dead=[letter(4), letter(4, "worker-2"), written(0)._replace(value=None)])
    assert [(e.what, e.by, e.task, e.offset, e.at) for e in history] == [
        ("dead", "worker-1", "task-4", 4, 3.5),
        ("dead", "worker-2", "task-4", 4, 3.5),
    ]
    assert names_in(check(history)) == {DEAD_TWICE}


def test_commits_go_with_the_rest():
    commits = [Event(what="committed", by="the group", seq=n, at=1.0, partition=0, offset=2 - n) for n in range(2)]
    assert names_in(check(from_records(to_frame([attempt(0, 1.0, 2.0)]), committed=commits))) == {GOING_BACK}


def test_commits_that_name_no_group_are_those_of_the_group():
    records, receipts = to_frame([attempt(0, 1.0, 2.0)]), receipts_to_frame([receipt(0)])
    commit = Event(what="committed", by="the group", seq=0, at=1.0, partition=0, offset=1)
    history = from_records(records, receipts, written=[written(0)], group="g", committed=[commit])
    assert [event.group for event in history if event.what == "committed"] == ["g"]
    assert check(history).ok(allow=())
    apart = [*from_records(records, receipts, written=[written(0)], group="g"), commit]
    assert check(apart).ok(allow=())


def test_the_log_tells_the_idempotency_key_of_each_task():
    keyed = Task(id="b", kind="work", key="k", idempotency_key="pay-7").encode()
    history = from_records(to_frame([]), written=[written(0), Record("t", 0, 1, *keyed, 0)])
    assert [event.note for event in history if event.what == "written"] == [None, "pay-7"]


def test_a_history_is_of_one_topic():
    with pytest.raises(HistoryUnreadable, match="of one topic, and these records are of t, u"):
        from_records(to_frame([attempt(0, 1.0, 2.0), attempt(0, 1.0, 2.0, topic="u")]))


def test_so_are_its_receipts_and_its_log():
    records, receipts = to_frame([attempt(0, 1.0, 2.0)]), receipts_to_frame([receipt(0)])
    with pytest.raises(HistoryUnreadable, match="these records and receipts are of t, u"):
        from_records(records, pd.concat([receipts, receipts.assign(topic="u")]))
    with pytest.raises(HistoryUnreadable, match="these records of the log are of t, u"):
        from_records(records, written=[written(0), written(1)._replace(topic="u")])


def test_what_was_put_away_or_recognised_is_told_as_that_and_was_not_begun():
    outcomes = {0: "shed", 1: "spilled", 2: "repeated", 3: "requeued"}
    records = [attempt(offset, 1.0, 2.0, outcome=outcome, started=0.0) for offset, outcome in outcomes.items()]
    copy = written(3)._replace(offset=4)
    history = from_records(
        to_frame([*records, attempt(4, 3.0, 4.0, task_id="task-3")]), written=[*map(written, range(4)), copy]
    )
    assert {event.what for event in history} == {"written", "received", "started", "finished", *outcomes.values()}
    assert check(history).ok(allow=())


def test_files_that_were_read_twice_tell_once():
    records = to_frame([attempt(0, 1.0, 2.0), attempt(1, 2.0, 3.0)])
    receipts = receipts_to_frame([receipt(0), receipt(1)])
    log, letters = [written(0), written(1)], [letter(7)]
    once = from_records(records, receipts, written=log, dead=letters)
    twice = from_records(
        pd.concat([records, records]), pd.concat([receipts, receipts]), written=log * 2, dead=letters * 2
    )
    assert check(twice) == check(once)
    assert check(once).ok(allow=())


def test_a_log_that_begins_later_has_lost_what_expired():
    records = to_frame([attempt(offset, offset, offset + 0.5) for offset in range(6)])
    receipts = receipts_to_frame([receipt(offset) for offset in range(6)])
    verdict = check(from_records(records, receipts, written=map(written, range(4, 6))))
    assert verdict.ok(allow=())
    assert UNWRITTEN in verdict.unjudged


def test_a_compacted_log_lacks_what_later_records_replace():
    records = to_frame([attempt(offset, offset, offset + 0.5, key=f"k{offset % 2}") for offset in range(6)])
    receipts = receipts_to_frame([receipt(offset) for offset in range(6)])
    kept = [written(offset)._replace(key=f"k{offset % 2}".encode()) for offset in (4, 5)]
    other = written(0)._replace(key=b"other", partition=0)
    assert check(from_records(records, receipts, written=[other, *kept])).ok(allow=())


def test_without_its_key_only_the_policy_tells_what_compaction_may_have_taken():
    receipts = receipts_to_frame([receipt(0), receipt(1)])
    keyless = to_frame([attempt(0, 1.0, 2.0, key=None), attempt(1, 3.0, 4.0, key=None)])
    other = written(0)._replace(offset=2)
    log = [written(0), other]
    assert names_in(check(from_records(keyless, receipts, written=log, cleanup_policy="delete"))) == {UNWRITTEN}
    assert check(from_records(keyless, receipts, written=log, cleanup_policy="compact")).ok()


def test_one_id_for_two_tasks_shows_in_what_is_to_be_done():
    key, value, headers = Task(id="task-0", kind="work", key="k", payload="other").encode()
    other = Record("t", 0, 3, key, value, headers, 0)
    records = to_frame([attempt(0, 1.0, 2.0), attempt(3, 3.0, 4.0, task_id="task-0")])
    assert check(from_records(records, written=[written(0), other])).counts[REUSED_ID] == 1
    later = Task(id="task-0", kind="work", key="k", created_at=9.0).encode()
    again = Record("t", 0, 3, *later, 0)
    assert names_in(check(from_records(records, written=[written(0), again]))) == {DUPLICATE}


def test_a_refused_record_with_an_id_is_no_task_that_nobody_began():
    bad = attempt(1, 3.0, 3.0, task_id="", key=None, outcome="bad", error="BadRecord")
    log = [written(0), written(1)._replace(value=b"\x00")]
    assert check(from_records(to_frame([attempt(0, 1.0, 2.0), bad]), written=log, dead=[letter(1)])).ok(allow=())


def test_what_is_no_letter_on_the_topic_of_letters_tells_nothing():
    foreign = Record("t.dead", 0, 9, b"who/knows", b"?", (("dead-partition", None), ("dead-offset", b"x")), 0)
    tombstone = Record("t.dead", 0, 10, b"who knows", None, (), 0)
    history = from_records(to_frame([]), dead=[written(3), foreign, tombstone, letter(4)])
    assert [(e.what, e.offset) for e in history] == [("dead", 4)]


@pytest.mark.parametrize(("gone", "what"), [(b"replayed", "replayed"), (b"dropped", "dropped"), (b"?", "dropped")])
def test_a_tombstone_says_whether_its_letter_was_replayed(gone, what):
    tombstone = Record("t.dead", 0, 9, b"a/topic/0/4", None, (("dead-gone", gone),), 2500)
    (event,) = from_records(to_frame([]), dead=[tombstone])
    assert (event.what, event.by, event.partition, event.offset, event.at) == (what, "log of dead letters", 0, 4, 2.5)


def test_a_letter_stands_among_the_events_of_its_worker():
    records = to_frame([attempt(0, 1.0, 3.0, outcome="dead"), attempt(1, 4.0, 5.0)])
    history = from_records(records, dead=[letter(0)])
    assert shape(history, "worker-1") == [
        ("received", 0),
        ("started", 0),
        ("failed", 0),
        ("dead", 0),
        ("received", 1),
        ("started", 1),
        ("finished", 1),
    ]
    assert not check(history).unjudged


def test_a_clock_that_was_set_back_leaves_its_workers_order_open():
    overlapping = [attempt(0, 1.0, 4.0), attempt(1, 1.0, 3.0, started=2.0)]
    back = attempt(2, 9.0, 8.0)
    other = attempt(3, 1.0, 2.0, worker="worker-2")
    verdict = check(from_records(to_frame([*overlapping, back, other])))
    assert verdict.ok(allow=())
    assert "Different events of worker-1 have one number" in verdict.unjudged[OUT_OF_ORDER]


def test_so_does_one_that_was_set_back_between_a_receipt_and_its_begin():
    """The second task came after the first had begun and began when it was over, by a clock that was set back."""
    records = [attempt(0, 90.0, 99.0), attempt(1, 98.0, 43.0, started=41.0)]
    verdict = check(from_records(to_frame(records)))
    assert verdict.ok(allow=())
    assert OUT_OF_ORDER in verdict.unjudged


def test_records_of_two_groups_are_put_together_by_their_groups():
    """Two workers of one name: the first is at 5 while the second, which began later, is through with 7."""
    slow, quick = to_frame([attempt(5, 1.0, 9.0)]), to_frame([attempt(7, 2.0, 3.0)])
    together = from_records(pd.concat([slow, quick]))
    apart = [*from_records(slow, group="a"), *from_records(quick, group="b")]
    assert names_in(check(together)) == {OUT_OF_ORDER}
    assert check(apart).ok(allow=())


def test_what_others_have_written_is_the_same_task_in_records_log_and_letters():
    """It was done, given up, replayed, sent behind the others, and done there; one more is plain text."""
    value, topic_id = b'{"task": 1}', "topic-id"
    first, copy = Record("t", 0, 0, b"\xc8", value, (), 0), Record("t", 0, 1, None, value, (), 0)
    again, text = copied(copy, topic_id)._replace(offset=2), Record("t", 0, 3, None, b"text", (), 0)
    place = {"error": "e", "attempts": 1, "worker": "worker-1", "at": 3.5, "topic_id": topic_id}
    sent = encode_dead_letter(Topic(name="t", partitions=1, transport=MemoryTransport()), copy, **place)
    dead = Record(sent.topic, 0, 0, sent.key, sent.value, sent.headers, 0)
    gone = Record(sent.topic, 0, 1, sent.key, None, (("dead-gone", b"replayed"),), 0)
    records = [
        attempt(0, 1.0, 2.0, task_id="topic-id/0/0", key="\\xc8"),
        attempt(1, 2.5, 3.0, task_id="topic-id/0/1", key=None, outcome="dead", error="e"),
        attempt(2, 4.0, 5.0, task_id="topic-id/0/1", key=None),
        attempt(3, 6.0, 7.0, task_id="topic-id/0/3", key=None),
    ]
    history = from_records(to_frame(records), written=[first, copy, again, text], dead=[dead, gone], topic_id=topic_id)
    assert check(history).ok(allow=())
    assert [event.task for event in history if event.what == "dead"] == ["topic-id/0/1"]
    log = [event.task for event in history if event.what == "written"]
    assert log == ["topic-id/0/0", "topic-id/0/1", "topic-id/0/1", None]
    assert names_in(check(from_records(to_frame(records[1:]), written=[first], topic_id=topic_id))) == {LOST}
