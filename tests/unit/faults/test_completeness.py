"""What is lost and what only looks lost; what is not on the topic and what need not be there any more."""

from __future__ import annotations

import pytest

from labkit.faults import DUPLICATE, LOST, LOST_IN_REPLAY, UNWRITTEN, check
from tests.unit.faults.names import names_in

# --- what only looks lost


@pytest.mark.parametrize("what", ["shed", "spilled", "repeated"])
def test_what_was_put_away_or_recognised_is_not_lost(story, what):
    assert story.on_topic(0)("a", "received", 0)("a", what, 0)("a", "committed", 1).names() == set()


@pytest.mark.parametrize(
    ("copy", "names"), [(None, {LOST}), ("received", {LOST}), ("finished", set()), ("dead", set())]
)
def test_a_task_that_was_put_behind_the_others_is_owed_where_it_stands_now(story, copy, names):
    story.on_topic(3)("log", "written", 8, task="task-3")("a", "received", 3)("a", "requeued", 3)
    if copy:
        for what in ["received", "started", copy] if copy != "received" else [copy]:
            story("a", what, 8, task="task-3")
    story("a", "committed", 9)
    assert story.names() == names
    if names:
        assert "offset 8" in str(story.only(LOST))


def test_a_task_that_was_put_behind_the_others_and_stands_nowhere_is_lost(story):
    story.on_topic(3)("a", "received", 3)("a", "requeued", 3)("a", "committed", 4)
    assert "offset 3" in str(story.only(LOST))


def test_where_a_task_stands_that_was_put_behind_the_others_is_not_known_without_the_log(story):
    story("p", "acknowledged", 3)("a", "received", 3)("a", "requeued", 3)("a", "committed", 4)
    verdict = check(story.events)
    assert verdict.ok(allow=())
    assert verdict.unjudged[LOST].startswith("1 tasks were put behind the others")


def test_an_end_that_names_no_task_is_that_of_the_record(story):
    assert story.on_topic(0)("a", "finished", 0, task=None).names() == set()


def test_a_task_that_was_sent_twice_and_done_once_is_not_lost(story):
    assert story.on_topic(0)("log", "written", 3, task="task-0").did("a", 0).names() == set()


def test_a_task_before_the_start_of_the_group_is_another_run_s(story):
    story.on_topic(0, 1, 2)("a", "assigned", 2).did("a", 2)
    verdict = check(story.events)
    assert verdict.ok(allow=())
    assert verdict.unjudged[LOST] == "2 tasks lie before the offset at which the group began."
    assert "Left open, lost task: 2 tasks lie before" in str(verdict)


def test_a_start_that_a_commit_of_this_run_moved_hides_nothing(story):
    story.on_topic(0, 1)("a", "assigned", 0)("a", "committed", 2)("b", "assigned", 2)
    assert check(story.events).counts[LOST] == 2


def test_what_the_group_knew_as_done_beyond_its_start_is_another_run_s(story):
    story.on_topic(0, 1, 2)("a", "assigned", 0, beyond=(1,)).did("a", 0, 2)("a", "committed", 3)
    verdict = check(story.events)
    assert verdict.ok(allow=())
    assert verdict.unjudged[LOST] == ("1 tasks were done when the group began, by the commit that it was told of.")


def test_what_a_commit_of_this_run_called_done_hides_nothing(story):
    """b is told what a committed, and a later owner begins further on."""
    story.on_topic(0, 1, 2, 3)("a", "assigned", 0)("b", "assigned", 0, beyond=(1,))("c", "assigned", 1, beyond=(3,))
    story("a", "committed", 0, beyond=(1,)).did("a", 0, 2)
    assert check(story.events).counts[LOST] == 2


# --- letters and their replay


def test_a_replayed_task_that_nobody_does_again_is_lost(story):
    story.on_topic(0)("log", "written", 7, task="task-0")("a", "dead", 0)("a", "committed", 1)
    anomaly = story.only(LOST)
    assert (anomaly.task, anomaly.offset) == ("task-0", 7)


def test_a_replayed_task_that_is_done_or_given_up_again_is_fine(story):
    story.on_topic(0, 1)("a", "dead", 0, 1)("c", "replayed", 0, 1)
    story("log", "written", 7, task="task-0")("log", "written", 8, task="task-1")
    story("a", "finished", 7, task="task-0")("a", "dead", 8, task="task-1")
    assert story.names() == set()


def test_of_replayed_tasks_that_the_log_does_not_name_nothing_is_known(story):
    """As of records of plain text, which only the workers know by an id."""
    story("log", "written", 0, task=None)("log", "written", 1, task=None)
    story("a", "received", 0)("a", "dead", 0)("c", "replayed", 0)
    verdict = check(story.events)
    assert not verdict.counts[LOST_IN_REPLAY]
    assert verdict.unjudged[LOST_IN_REPLAY] == "1 replayed tasks are plain text, and the log does not tell which."


def test_a_replay_that_puts_nothing_back_loses_the_task(story):
    story.on_topic(0, 1)("a", "dead", 0, 1)("c", "replayed", 0, task=None)
    verdict = check(story.events)
    assert verdict.counts[LOST] == verdict.counts[LOST_IN_REPLAY] == 1
    (anomaly,) = verdict.anomalies[LOST_IN_REPLAY]
    assert (anomaly.task, anomaly.who) == ("task-0", "c")
    assert anomaly.sentence == (
        "The dead letter of task task-0 from offset 0 of partition 0 was replayed, but the task is not on the topic "
        "again."
    )


def test_a_replay_of_a_task_that_is_done_loses_nothing(story):
    assert story.did("a", 0)("b", "received", 0)("b", "dead", 0)("c", "replayed", 0).on_topic(0).names() == set()


def test_where_the_log_was_not_read_nothing_is_said_of_replays(story):
    assert story("p", "acknowledged", 0)("a", "dead", 0)("c", "replayed", 0).names() == set()


def test_a_letter_that_was_dropped_was_given_up_also_when_compaction_took_it(story):
    assert story.on_topic(0)("c", "dropped", 0).names() == set()


def test_a_letter_that_was_replayed_was_given_up_also_when_compaction_took_it(story):
    story.on_topic(0)("log", "written", 7, task="task-0")("c", "replayed", 0, task=None)("a", "dead", 7, task="task-0")
    assert story.names() == set()


@pytest.mark.parametrize(("differs", "lost"), [({}, 0), ({"partition": 1}, 1), ({"content": "other"}, 1)])
def test_a_task_that_was_given_up_behind_may_have_been_replayed_without_a_trace(story, differs, lost):
    """Tombstones are gone after a day too. A replay puts the same task back on the same partition."""
    place = {"task": "task-0", "partition": differs.get("partition", 0)}
    story.on_topic(0)("log", "written", 7, **place, content=differs.get("content"))("a", "dead", 7, **place)
    assert check(story.events).counts[LOST] == lost


@pytest.mark.parametrize("policy", [None, "unknown", "compact", "delete,compact"])
def test_a_replayed_task_may_be_compacted_away_again(story, policy):
    """It was put back at 5, and what came at 8 has its key."""
    story("p", "acknowledged", 1)("a", "received", 1)("a", "started", 1)("a", "dead", 1)("c", "replayed", 1, task=None)
    story("log", "written", 0, key="other").on_topic(8).did("b", 0, 8)
    if policy:  # also where the log tells how it begins, and not by which policy
        story("log", "retained", 0, task=None, note=None if policy == "unknown" else policy)
    verdict = check(story.events)
    assert verdict.ok(allow=()), verdict
    assert "may have been compacted away or have expired" in verdict.unjudged[LOST_IN_REPLAY]


def test_a_replayed_task_whose_first_record_is_still_there_was_not_compacted_away(story):
    story.on_topic(0, 8)("a", "dead", 0)("c", "replayed", 0, task=None).did("a", 8)
    assert story.names() == {LOST, LOST_IN_REPLAY}


def test_a_replayed_task_may_have_expired(story):
    story("a", "received", 0)("a", "started", 0)("a", "dead", 0)("c", "replayed", 0, task=None).on_topic(8).did("a", 8)
    assert story.names() == set()


# --- acknowledged but unwritten


def test_what_the_log_has_lost_at_its_beginning_may_have_expired(story):
    story("p", "acknowledged", 0, 1, 2, 3).on_topic(2, 3).did("a", 0, 1, 2, 3)
    verdict = check(story.events)
    assert verdict.ok(allow=())
    assert verdict.unjudged[UNWRITTEN] == (
        "2 acknowledged records lie before what the log still has; they may have expired."
    )


def test_all_of_a_partition_may_have_expired(story):
    story("p", "acknowledged", 0)("p", "acknowledged", 5, partition=1).on_topic(0).did("a", 0)
    assert story("b", "finished", 5, partition=1).names() == set()


def test_what_lies_behind_the_beginning_that_the_log_tells_cannot_have_expired(story):
    story("log", "retained", 0, task=None, note="delete")("p", "acknowledged", 0, 3).on_topic(3).did("a", 0, 3)
    assert story.only(UNWRITTEN).task == "task-0"


def test_an_acknowledgement_without_a_place_may_have_expired_too(story):
    story("p", "acknowledged", 0, partition=None, offset=None).on_topic(4).did("a", 0, 4)
    assert story.names() == set()


def test_a_record_with_a_later_one_of_its_key_may_be_compacted_away(story):
    story("p", "acknowledged", 0, 1, 2)("log", "written", 0, key="other").on_topic(2).did("a", 0, 1, 2)
    verdict = check(story.events)
    assert verdict.ok(allow=())
    assert verdict.unjudged[UNWRITTEN] == "1 acknowledged records may have been compacted away."


def test_where_a_key_stands_twice_compaction_has_not_been(story):
    story("p", "acknowledged", *range(4)).on_topic(0, 1, 3).did("a", *range(4))
    assert story.only(UNWRITTEN).task == "task-2"


def test_where_a_record_has_no_key_compaction_has_not_been(story):
    story("p", "acknowledged", 0, 1, 2)("log", "written", 0, key=None).on_topic(2).did("a", 0, 1, 2)
    assert story.only(UNWRITTEN).task == "task-1"


def test_the_last_record_of_its_key_is_not_compacted_away(story):
    story("p", "acknowledged", 0, 1)("log", "written", 0, key="other").did("a", 0, 1)
    assert story.only(UNWRITTEN).task == "task-1"


def test_a_log_that_is_known_to_be_compacted_may_lack_anything_but_what_it_has_instead(story):
    story("log", "retained", 0, task=None, note="compact,delete")("p", "acknowledged", 0, 1)
    story("log", "written", 0, key="other", task="other")
    assert [anomaly.task for anomaly in check(story.events).anomalies[UNWRITTEN]] == ["task-0"]


def test_a_record_of_a_foreign_producer_is_a_promise_too_and_one_that_is_no_task_none(story):
    story.on_topic(0)("log", "written", 1, task=None, key=None)
    assert story.only(LOST).task == "task-0"


@pytest.mark.parametrize("place", [{}, {"partition": None, "offset": None}])
def test_compaction_is_known_by_the_key_that_was_acknowledged(story, place):
    """Nobody received task-1 before task-2 replaced it."""
    story("p", "acknowledged", 1, **place)("p", "acknowledged", 2)("log", "written", 0, key="other").on_topic(2)
    verdict = check(story.did("a", 0, 2).events)
    assert verdict.ok(allow=()), verdict
    assert verdict.unjudged[UNWRITTEN] == "1 acknowledged records may have been compacted away."
    assert verdict.unjudged[LOST] == "1 tasks may have been compacted away before anybody did them."


def test_of_a_task_that_was_sent_twice_each_record_must_be_explained(story):
    story("p", "acknowledged", 1)("p", "acknowledged", 5, task="task-1")("log", "written", 0, key="other").on_topic(2)
    anomaly = check(story.did("a", 0, 2).events).anomalies[LOST][0]
    assert (anomaly.task, anomaly.offset) == ("task-1", 5)


@pytest.mark.parametrize("place", [{}, {"partition": None, "offset": None}])
def test_where_the_policy_says_so_any_record_may_be_compacted_away(story, place):
    story("log", "retained", 0, task=None, note="compact")("log", "written", 0, key="x", task="x").on_topic(2)
    story.did("a", 2)("b", "finished", 0, task="x")("p", "acknowledged", 1, key=None, **place)
    verdict = check(story.events)
    assert verdict.ok(allow=()), verdict
    assert {UNWRITTEN, LOST} == set(verdict.unjudged)


@pytest.mark.parametrize("place", [{}, {"partition": None, "offset": None}])
def test_where_the_policy_says_that_nothing_is_compacted_it_is_gone(story, place):
    story("log", "retained", 0, task=None, note="delete")("p", "acknowledged", 1, **place)
    assert story("log", "written", 0, key="other").on_topic(2).did("a", 0, 2).names() == {UNWRITTEN, LOST}


@pytest.mark.parametrize("place", [{}, {"partition": None, "offset": None}])
def test_what_has_another_key_or_none_was_not_compacted_away(story, place):
    story("p", "acknowledged", 1, key="that", **place)("p", "acknowledged", 3, key=None, **place).on_topic(0)
    story("log", "written", 4, key="other").did("a", 0, 4)
    assert check(story.events).counts[UNWRITTEN] == check(story.events).counts[LOST] == 2


@pytest.mark.parametrize("named", [("b", "finished"), ("a", "committed"), ("p", "acknowledged")])
def test_an_acknowledgement_without_a_place_may_be_of_a_partition_that_has_nothing_left(story, named):
    story.on_topic(0).did("a", 0)("p", "acknowledged", 7, partition=None, offset=None)("b", "finished", 7)
    assert story.names() == {UNWRITTEN}
    assert story(*named, 5, partition=1, task="task-0").names() <= {DUPLICATE}


@pytest.mark.parametrize("what", ["assigned", "committed"])
@pytest.mark.parametrize(("point", "beyond"), [(0, ()), (5, ()), (0, (3,))])
def test_a_partition_that_was_only_ever_empty_can_have_lost_nothing(story, what, point, beyond):
    """Who is told of a commit point at 0 has been told of no record."""
    story("a", what, 0, 0, task=None, key=None)("a", what, point, partition=1, task=None, key=None, beyond=beyond)
    story.on_topic(0).did("a", 0)("p", "acknowledged", 7, partition=None, offset=None)
    verdict = check(story.events)
    assert names_in(verdict) == ({LOST} if point or beyond else {LOST, UNWRITTEN}), verdict
    assert (UNWRITTEN in verdict.unjudged) == bool(point or beyond)


# --- partitions


def test_partitions_that_were_added_are_partitions(story):
    story.on_topic(0, 1)("log", "written", 0, 1, partition=3, task=None).did("a", 0, 1)
    story("a", "assigned", 0)("a", "assigned", 0, partition=3)
    assert story.names() == set()


def test_the_same_offset_of_another_partition_is_another_record(story):
    story.on_topic(0)("log", "written", 0, partition=1, task="other").did("a", 0)
    story("b", "dead", 0, partition=1, task="other")
    assert story.names() == set()
    assert check(story.events).counts[DUPLICATE] == 0
