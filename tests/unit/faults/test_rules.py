"""Each rule on the smallest history that shows it, and the limits of what it may say."""

from __future__ import annotations

import pytest

from labkit.faults import (
    DEAD_TWICE,
    DUPLICATE,
    EFFECT_TWICE,
    GOING_BACK,
    LOST,
    OUT_OF_ORDER,
    SKIPPED,
    UNWRITTEN,
    check,
)

# --- lost task


def test_a_committed_task_that_nobody_finished_is_lost_by_who_committed_it(story):
    anomaly = story.on_topic(0, 1).did("a", 0)("a", "received", 1)("a", "committed", 2).only(LOST)
    assert (anomaly.task, anomaly.partition, anomaly.offset, anomaly.who) == ("task-1", 0, 1, "a")
    assert anomaly.sentence == (
        "Task task-1 at offset 1 of partition 0 was committed as done by a, but nobody finished it, so no restart will "
        "bring it back."
    )


def test_of_all_commits_past_a_lost_task_the_nearest_is_named(story):
    story.on_topic(0, 1, 2).did("a", 0)("a", "received", 1)("a", "committed", 2).did("b", 2)("b", "committed", 3)
    assert story.only(LOST).who == "a"


def test_what_a_commit_remembers_beyond_its_point_is_committed_too(story):
    story.on_topic(0, 1, 2).did("a", 0)("a", "received", 1, 2)("a", "committed", 1, beyond=(2,)).did("b", 1)
    assert "task-2 at offset 2 of partition 0 was committed as done by a" in story.only(LOST).sentence


def test_a_task_left_on_the_topic_is_lost(story):
    anomaly = story.on_topic(0).only(LOST)
    assert anomaly.who is None
    assert "when the run was over nobody had finished it" in anomaly.sentence


def test_the_task_at_the_commit_point_is_not_committed(story):
    assert story.on_topic(0, 1).did("a", 0)("a", "committed", 1).only(LOST).who is None


def test_an_acknowledged_task_is_lost_also_if_the_log_was_not_read(story):
    assert story("producer", "acknowledged", 0).only(LOST).task == "task-0"


def test_refused_and_merely_sent_tasks_are_no_promise(story):
    assert story("producer", "sent", 0, 1)("producer", "refused", 0).names() == set()


def test_a_dead_letter_is_not_lost(story):
    assert story.on_topic(0)("a", "dead", 0)("a", "committed", 1).names() == set()


def test_a_record_that_was_no_task_has_only_a_place(story):
    story.on_topic(0)("log", "written", 1, task=None)("a", "dead", 1, task=None).did("a", 0)
    assert story.names() == set()


# --- acknowledged but unwritten


def test_an_acknowledgement_without_a_record_is_named_with_the_loss(story):
    story.on_topic(0).did("a", 0)("producer", "acknowledged", 0, 1)
    assert story.names() == {UNWRITTEN, LOST}
    sentence = check(story.events).anomalies[UNWRITTEN][0].sentence
    assert (
        sentence == "producer was told that task task-1 is safe at offset 1 of partition 0, but it is not on the topic."
    )


def test_another_task_in_its_place_is_not_it(story):
    story("log", "written", 0, task="other").did("a", 0)("b", "finished", 1, task="other")(
        "producer", "acknowledged", 0
    )
    assert story.names() == {UNWRITTEN}


@pytest.mark.parametrize(("task", "names"), [("task-0", set()), ("task-9", {UNWRITTEN, LOST})])
def test_an_acknowledgement_without_a_place_is_looked_for_on_the_whole_topic(story, task, names):
    story.on_topic(0).did("a", 0)("producer", "acknowledged", 0, task=task, partition=None, offset=None)
    assert story.names() == names


# --- skipped on poll


def test_a_record_that_was_passed_over_is_skipped_and_lost(story):
    story.on_topic(0, 1, 2)("a", "assigned", 0).did("a", 0, 2)("a", "committed", 3)
    assert story.names() == {SKIPPED, LOST}
    skipped = check(story.events).anomalies[SKIPPED][0]
    assert (skipped.task, skipped.offset, skipped.who) == ("task-1", 1, "a")
    assert "never received by anyone: a read on to offset 2 without it" in skipped.sentence


def test_the_first_record_of_an_assignment_can_be_skipped(story):
    story.on_topic(0, 1)("a", "assigned", 0).did("a", 1)("a", "committed", 2)
    assert story.names() == {SKIPPED, LOST}


def test_a_hole_between_two_assignments_is_nobodys_skip(story):
    """b may have received it and died with it in hand, before anything of it was written down."""
    story.on_topic(0, 1, 2)("a", "assigned", 0).did("a", 0)("a", "committed", 2)("a", "assigned", 2).did("a", 2)
    assert story.names() == {LOST}


def test_without_assignments_nothing_is_said_about_skipping(story):
    assert story.on_topic(0, 1, 2).did("a", 0, 2)("a", "committed", 3).names() == {LOST}


def test_what_no_commit_says_to_be_done_is_not_skipped(story):
    """It may come again after a restart."""
    assert story.on_topic(0, 1, 2)("a", "assigned", 0).did("a", 0, 2)("a", "committed", 1).names() == {LOST}


def test_a_dead_letter_is_not_skipped(story):
    story.on_topic(0, 1, 2)("a", "assigned", 0).did("a", 0, 2)("a", "dead", 1)("a", "committed", 3)
    assert story.names() == set()


def test_a_hole_in_the_log_is_not_skipped(story):
    assert story.on_topic(0, 2)("a", "assigned", 0).did("a", 0, 2)("a", "committed", 3).names() == set()


# --- offset going back


def test_a_lower_commit_of_the_same_worker_goes_back(story):
    anomaly = story("a", "committed", 5)("a", "committed", 3, task=None).only(GOING_BACK)
    assert anomaly.sentence == (
        "On partition 0 everything before offset 5 was committed as done, and then a committed offset 3: work that was "
        "done may be done again."
    )


def test_a_lower_commit_of_another_worker_proves_nothing(story):
    """Without a common clock b may have been first."""
    assert story("a", "committed", 5)("b", "committed", 3).names() == set()


def test_an_owner_that_starts_before_the_commit_point_goes_back_once(story):
    anomaly = story("b", "assigned", 5)("b", "received", 3, 4, 5).only(GOING_BACK)
    assert (anomaly.who, anomaly.offset) == ("b", 3)


def test_an_owner_that_is_told_less_than_it_committed_goes_back(story):
    assert "was told to start at offset 2" in story("a", "committed", 5)("a", "assigned", 2).only(GOING_BACK).sentence


def test_redelivery_from_the_commit_point_on_is_not_going_back(story):
    assert story("a", "assigned", 2)("a", "received", 2, 3, 4)("a", "assigned", 2)("a", "received", 2).names() == set()


# --- out of order within a key


def test_a_task_begun_before_the_earlier_one_of_its_key_is_done_is_out_of_order(story):
    story("a", "received", 5, 7)("a", "started", 5, 7)("a", "finished", 5, 7)
    anomaly = story.only(OUT_OF_ORDER)
    assert anomaly.sentence == (
        "a began task task-7 (offset 7) before it had finished the one at offset 5, which has the same key k and comes "
        "first."
    )


def test_an_attempt_that_failed_has_not_finished(story):
    story("a", "received", 5, 7)("a", "started", 5)("a", "failed", 5).did("a", 7)("a", "started", 5)("a", "finished", 5)
    story.events = [e for e in story.events if not (e.what == "received" and e.offset == 7 and e.seq > 3)]
    assert story.only(OUT_OF_ORDER).offset == 7


@pytest.mark.parametrize("key", [None, "other"])
def test_other_keys_may_overtake(story, key):
    story("a", "received", 5, 7)("a", "started", 5)("a", "started", 7, key=key)
    assert story("a", "finished", 7, key=key)("a", "finished", 5).names() == set()


def test_tasks_without_a_key_have_no_order(story):
    story("a", "started", 5, 7, key=None)
    assert story("a", "finished", 7, 5, key=None).names() == set()


def test_a_redelivery_is_not_out_of_order(story):
    """5, 7, and both again from the commit point on."""
    assert story.did("a", 5, 7, 5, 7).names() == {DUPLICATE}


def test_a_task_that_was_delivered_to_another_too_is_a_redelivery(story):
    """b may have done it and died before it could tell."""
    story("b", "received", 5)("a", "received", 5, 7)("a", "started", 5, 7)("a", "finished", 7, 5)
    assert story.names() == set()


def test_what_another_worker_may_have_finished_before_is_not_out_of_order(story):
    assert story.did("b", 5).did("a", 7, 5).names() == {DUPLICATE}


def test_after_a_dead_letter_the_key_goes_on(story):
    story("a", "received", 5)("a", "started", 5)("a", "failed", 5)("a", "dead", 5).did("a", 7)
    assert story.names() == set()


# --- twice


def test_a_task_finished_by_two_is_a_duplicate(story):
    anomaly = story.on_topic(0).did("a", 0).did("b", 0).only(DUPLICATE)
    assert anomaly.sentence == "Task task-0 was finished 2 times, by a and b: it was delivered 2 times."


def test_finished_three_times_is_two_duplicates(story):
    assert check(story.did("a", 0, 0, 0).events).counts[DUPLICATE] == 2


def test_the_same_task_at_two_offsets_is_a_duplicate_of_the_sender(story):
    story.did("a", 3)
    for what in ("received", "started", "finished"):
        story("a", what, 5, task="task-3")
    assert "more than once, at offset 3 of partition 0 and at offset 5 of partition 0" in story.only(DUPLICATE).sentence


def test_two_dead_letters_of_one_record(story):
    anomaly = story("a", "dead", 4)("b", "dead", 4).only(DEAD_TWICE)
    assert anomaly.sentence == "Task task-4 at offset 4 of partition 0 became a dead letter 2 times, by a and b."


def test_a_replayed_task_may_die_again(story):
    assert story("a", "dead", 4)("a", "dead", 9, task="task-4").names() == set()


def test_an_effect_done_twice(story):
    anomaly = story("a", "effect", 4, key="bill-4")("b", "effect", 4, key="bill-4").only(EFFECT_TWICE)
    assert anomaly.sentence == "The effect bill-4 of task task-4 was done 2 times, by a and b."
