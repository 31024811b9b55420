"""Disorder within a key, however the earlier task ends; and commits ahead of the work, also where it went well."""

from __future__ import annotations

import pytest

from labkit.faults import AHEAD, GOING_BACK, LOST, OUT_OF_ORDER, check

# --- out of order within a key


def test_a_task_that_overtakes_one_that_dies_in_the_end_is_out_of_order(story):
    story("a", "received", 5, 7)("a", "started", 5)("a", "failed", 5)
    story("a", "started", 7)("a", "finished", 7)("a", "started", 5)("a", "failed", 5)("a", "dead", 5)
    assert story.only(OUT_OF_ORDER).task == "task-7"


def test_after_the_last_attempt_the_next_one_may_begin_before_the_letter_is_written(story):
    story("a", "received", 5, 7)("a", "started", 5)("a", "failed", 5)("a", "started", 7)
    assert story("a", "dead", 5)("a", "finished", 7).names() == set()


def test_an_attempt_that_begins_again_behind_the_next_task_is_out_of_order_also_without_an_end(story):
    story("a", "received", 5, 7)("a", "started", 5)("a", "failed", 5)("a", "started", 7)("a", "started", 5)
    assert story.only(OUT_OF_ORDER).task == "task-7"


def test_of_an_attempt_without_an_end_it_is_not_known_when_it_ended(story):
    assert story("a", "received", 5, 7)("a", "started", 5, 7)("a", "finished", 7).names() == set()


def test_one_letter_by_another_worker_means_another_delivery(story):
    """b had 5 too, or it could not have given it up."""
    story("b", "received", 5)("b", "started", 5)("b", "failed", 5)("b", "dead", 5)
    story("a", "received", 5, 7)("a", "started", 7, 5)("a", "failed", 5)("a", "finished", 7)
    assert story.names() == set()


def test_without_receipts_a_second_begin_may_be_a_redelivery(story):
    story("a", "started", 5)("a", "started", 7)("a", "finished", 7)("a", "started", 5)("a", "finished", 5)
    assert story.names() == set()


def test_a_key_on_two_partitions_has_no_order(story):
    """Partitions were added, and the key moved."""
    story("a", "received", 5)("a", "received", 7, partition=1)("a", "started", 5)("a", "started", 7, partition=1)
    assert story("a", "finished", 7, partition=1)("a", "finished", 5).names() == set()


def test_a_record_that_is_no_task_holds_nobody_up(story):
    """Its key may be that of a task behind it, and its failure is told when it becomes a dead letter."""
    story.on_topic(1)("log", "written", 0, task=None)("a", "received", 0, task=None)("a", "received", 1)
    story("a", "started", 1)("a", "failed", 0, task=None)("a", "dead", 0)("a", "finished", 1)
    assert story.names() == set()


def test_what_only_its_failure_names_is_a_task_where_the_log_was_not_read(story):
    story("a", "received", 0, 1)("a", "started", 1)("a", "failed", 0)("a", "finished", 1)
    assert story.names() == {OUT_OF_ORDER}


# --- commit ahead of the work


def test_a_commit_of_what_is_in_hand_is_ahead_also_where_it_went_well(story):
    story.on_topic(0, 1)("a", "received", 0, 1)("a", "committed", 2)
    story("a", "started", 0)("a", "finished", 0)("a", "started", 1)("a", "finished", 1)
    verdict = check(story.events)
    assert verdict.counts[AHEAD] == 2
    assert not verdict.ok()
    assert verdict.anomalies[AHEAD][0].sentence == (
        "a committed that task task-0 at offset 0 of partition 0 is done and finished it only then: a death in between "
        "would have lost it."
    )


def test_what_a_commit_remembers_beyond_its_point_can_be_ahead_too(story):
    story("a", "received", 0, 1, 2)("a", "started", 2)("a", "committed", 0, beyond=(2,))("a", "finished", 2)
    anomaly = story.only(AHEAD)
    assert (anomaly.task, anomaly.who) == ("task-2", "a")


def test_a_commit_after_the_work_is_not_ahead(story):
    story.did("a", 0)("a", "committed", 1)("a", "received", 1, 2)("a", "started", 2, key="x")
    story("a", "finished", 2, key="x")("a", "committed", 1, beyond=(2,))("a", "started", 1)("a", "finished", 1)
    assert story("a", "committed", 3).names() == set()


def test_a_commit_before_the_receipt_knew_of_another_delivery(story):
    """The task was done before a restart, and comes again since the fetch began before it."""
    names = story("a", "committed", 1).did("a", 0)("a", "committed", 1).names()
    assert names == {GOING_BACK}


def test_what_was_delivered_to_another_too_may_have_been_done_there(story):
    story("b", "received", 0)("a", "received", 0)("a", "committed", 1)("a", "started", 0)("a", "finished", 0)
    assert story.names() == set()


def test_a_commit_by_another_worker_cannot_be_compared(story):
    assert story("a", "received", 0)("b", "committed", 1)("a", "started", 0)("a", "finished", 0).names() == set()


def test_a_commit_ahead_of_what_was_never_finished_loses_it(story):
    assert story.on_topic(0)("a", "received", 0)("a", "committed", 1).names() == {LOST}


def test_a_commit_ahead_of_an_attempt_that_then_fails(story):
    """A death between the commit and the letter loses the task."""
    story.on_topic(0)("a", "received", 0)("a", "started", 0)("a", "committed", 1)("a", "failed", 0)("a", "dead", 0)
    assert story.only(AHEAD).sentence == (
        "a committed that task task-0 at offset 0 of partition 0 is done and failed at it only then: a death in "
        "between would have lost it."
    )


def test_a_commit_between_two_attempts_is_ahead_of_the_second(story):
    story.on_topic(0)("a", "received", 0)("a", "started", 0)("a", "failed", 0)("a", "committed", 0, beyond=(0,))
    assert story("a", "started", 0)("a", "failed", 0)("a", "dead", 0).names() == {AHEAD}


@pytest.mark.parametrize(
    ("what", "did"),
    [("shed", "dropped it"), ("spilled", "put it on another topic"), ("requeued", "put it behind the others")],
)
def test_a_commit_ahead_of_what_is_put_away(story, what, did):
    story.on_topic(0)("log", "written", 8, task="task-0")  # where one that is put behind the others stands
    story("a", "received", 0)("a", "committed", 1)("a", what, 0)("b", "finished", 8, task="task-0")
    assert f"{did} only then" in story.only(AHEAD).sentence


def test_what_was_recognised_as_done_was_done_when_it_was_committed(story):
    assert story.on_topic(0)("a", "received", 0)("a", "committed", 1)("a", "repeated", 0).names() == set()


def test_a_failure_after_the_end_changes_nothing(story):
    story.did("a", 0)("a", "committed", 1)("a", "failed", 0)
    assert story.names() == set()


def test_what_another_worker_had_too_may_have_been_done_there(story):
    story("a", "received", 0)("b", "started", 0)("a", "committed", 1)("a", "started", 0)("a", "failed", 0)
    assert story.names() == set()


def test_a_record_that_is_no_task_is_committed_with_its_letter(story):
    story("a", "received", 0, task=None)("a", "committed", 1)("a", "failed", 0, task=None)("a", "dead", 0, task=None)
    assert story.names() == set()


def test_a_commit_past_a_dead_letter_may_come_before_it_is_told(story):
    """Letter and commit are one transaction."""
    story("a", "received", 0)("a", "started", 0)("a", "failed", 0)("a", "committed", 1)("a", "dead", 0)
    assert story.names() == set()
