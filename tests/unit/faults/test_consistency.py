"""What contradicts itself: ids, results, dead letters and marks that cannot be what they say they are."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from labkit.faults import (
    DEAD_THOUGH_DONE,
    DEAD_UNBEGUN,
    DONE_UNBEGUN,
    DUPLICATE,
    LOST,
    NO_EFFECT,
    REUSED_ID,
    SWAPPED,
    check,
)

# --- one id for two tasks


@pytest.mark.parametrize("differs", [{"key": "other"}, {"key": None}, {"content": "other"}])
def test_one_id_with_another_key_or_content_stands_for_two_tasks(story, differs):
    story.on_topic(0)("log", "written", 3, **({"task": "task-0"} | differs)).did("a", 0)
    story("a", "finished", 3, task="task-0")
    verdict = check(story.events)
    assert verdict.counts[REUSED_ID] == 1
    assert not verdict.ok()
    assert verdict.anomalies[REUSED_ID][0].sentence == (
        "The id task-0 stands for different tasks, at offset 0 of partition 0 and at offset 3 of partition 0."
    )


def test_of_two_tasks_with_one_id_each_must_be_done(story):
    story.on_topic(0)("log", "written", 3, task="task-0", content="other").did("a", 0)("a", "committed", 4)
    assert story.names() == {REUSED_ID, LOST}
    assert check(story.events).anomalies[LOST][0].offset == 3


def test_a_task_that_was_sent_twice_has_one_id_and_is_one_task(story):
    story.on_topic(0)("log", "written", 3, task="task-0").did("a", 0)("b", "finished", 3, task="task-0")
    assert story.names() == {DUPLICATE}


def test_where_the_log_was_not_read_keys_are_compared_as_they_were_received(story):
    story("a", "received", 0)("a", "received", 3, task="task-0", key="other")
    assert story.names() == {REUSED_ID}


def test_a_key_that_is_not_told_is_no_other_key(story):
    assert story("a", "received", 0)("a", "received", 3, task="task-0", key=None).names() == set()


def test_a_log_that_was_read_twice_has_each_record_once(story):
    assert story.on_topic(0, 0).did("a", 0).names() == set()


# --- result of another task


def test_results_at_each_other_s_offsets_are_swapped(story):
    story.on_topic(0, 1)("a", "received", 0, 1)("a", "started", 0, key="x")("a", "started", 1, key="y")
    story("a", "finished", 0, task="task-1")("a", "finished", 1, task="task-0")
    verdict = check(story.events)
    assert {name for name, count in verdict.counts.items() if count} == {SWAPPED}
    assert verdict.counts[SWAPPED] == 2
    assert verdict.anomalies[SWAPPED][0].sentence == (
        "a tells of task task-1 at offset 0 of partition 0, where it was handed task task-0."
    )


def test_results_that_two_workers_exchanged_are_swapped(story):
    story("a", "received", 0)("b", "received", 1, key="y")("a", "started", 0)("b", "started", 1, key="y")
    verdict = check(story("a", "finished", 1, key="y")("b", "finished", 0).events)
    assert verdict.counts[SWAPPED] == 2
    assert "a ended task task-1, which it never began, and never ended another one" in str(verdict)


def test_an_end_whose_begin_was_not_told_is_no_swap(story):
    assert story.did("a", 0)("a", "finished", 1).names() == {DONE_UNBEGUN}


def test_a_task_in_hand_at_a_death_is_no_swap(story):
    assert story.did("a", 0)("a", "received", 1)("a", "started", 1)("b", "finished", 1).names() == set()


def test_effects_of_two_tasks_on_each_other_are_swapped(story):
    story("a", "effect", 0, key="task-1")("a", "effect", 1, key="task-0")
    assert check(story.events).counts[SWAPPED] == 2


def test_an_effect_with_a_key_of_its_own_is_no_swap(story):
    """The second task has the first one's id as its idempotency key."""
    assert story("a", "effect", 0, key="task-0")("a", "effect", 1, key="task-5").names() == set()


def test_a_record_that_is_no_task_fails_unbegun_and_is_no_swap(story):
    story("a", "received", 0, task=None)("a", "failed", 0, task=None)("a", "dead", 0, task=None)
    assert story("a", "received", 1)("a", "started", 1).did("b", 1).names() == set()


# --- done though never begun


def test_a_task_that_its_worker_finished_and_never_began(story):
    anomaly = story.on_topic(0, 1).did("a", 0)("a", "received", 1)("a", "finished", 1).only(DONE_UNBEGUN)
    assert (anomaly.task, anomaly.who) == ("task-1", "a")
    assert anomaly.sentence == (
        "a says that it finished task task-1 at offset 1 of partition 0, which it had never begun."
    )


def test_that_another_worker_began_it_in_vain_does_not_finish_it(story):
    story("a", "received", 0)("a", "started", 0)("a", "failed", 0).did("b", 1)
    assert story("b", "finished", 0).names() == {DONE_UNBEGUN}


def test_a_task_that_is_begun_after_it_was_called_finished(story):
    """And then its worker dies with it in hand."""
    assert story.did("a", 0)("a", "finished", 1)("a", "started", 1).names() == {DONE_UNBEGUN}


def test_where_a_name_stands_for_two_it_is_not_known_what_came_first(story):
    story.did("a", 0)("a", "finished", 1, key="x")("a", "started", 1, key="x")
    story.events.append(replace(story.events[0], offset=9, task="task-9"))
    assert story.names() == set()


def test_who_tells_of_no_begins_is_believed(story):
    assert story.did("b", 0)("a", "received", 1)("a", "finished", 1).names() == set()


def test_a_report_without_a_place_is_no_attempt(story):
    """What has an effect was finished: files of effects tell it, beside the worker of that name."""
    assert story.did("a", 0)("a", "finished", 1, partition=None, offset=None).names() == set()


# --- dead letters


def test_a_letter_of_a_task_that_its_worker_finished(story):
    anomaly = story.did("a", 0)("a", "dead", 0).only(DEAD_THOUGH_DONE)
    assert anomaly.sentence == (
        "Task task-0 at offset 0 of partition 0 was delivered once, and a finished it and made it a dead letter."
    )


def test_a_task_that_was_done_may_die_in_another_delivery(story):
    story.did("a", 0)("b", "received", 0)("b", "started", 0)("b", "failed", 0)("b", "dead", 0)
    assert story.names() == set()


def test_a_letter_of_a_task_that_nobody_ever_began(story):
    anomaly = story.did("a", 0)("a", "received", 1)("a", "dead", 1).only(DEAD_UNBEGUN)
    assert anomaly.sentence == (
        "a made task task-1 at offset 1 of partition 0 a dead letter, and nobody had ever begun it."
    )


def test_a_task_that_killed_its_workers_was_begun_by_them(story):
    story("b", "received", 1)("b", "started", 1).did("a", 0)("a", "received", 1)("a", "dead", 1)
    assert story.names() == set()


def test_a_record_that_is_no_task_is_not_begun(story):
    assert story.did("a", 0)("a", "received", 1, task=None)("a", "dead", 1, task=None).names() == set()


def test_a_letter_may_bear_the_id_of_a_record_that_is_no_task(story):
    """Its header has an id, and the rest of it cannot be read."""
    story.did("a", 0)("b", "received", 1)("a", "received", 1, task=None)("a", "failed", 1, task=None)
    assert story("a", "dead", 1).names() == set()


def test_a_record_that_the_log_knows_as_a_task_has_to_be_begun(story):
    story.on_topic(1).did("a", 0)("a", "received", 1, task=None)("a", "dead", 1)
    assert story.names() == {DEAD_UNBEGUN}


def test_who_tells_of_no_begins_says_nothing_about_them(story):
    assert story("a", "received", 1)("a", "dead", 1).names() == set()


# --- mark without an effect


@pytest.mark.parametrize("mark", ["finished", "repeated"])
def test_a_mark_without_an_effect(story, mark):
    story("a", "finished", 0)("a", "effect", 0, key="task-0")("b", mark, 1)
    anomaly = story.only(NO_EFFECT)
    assert (anomaly.task, anomaly.who) == ("task-1", "b")
    assert anomaly.sentence == "b says that task task-1 is done, but it had no effect."


@pytest.mark.parametrize("mark", ["finished", "repeated"])
@pytest.mark.parametrize(("other_key", "names"), [("pay-7", set()), ("pay-8", {NO_EFFECT}), (None, {NO_EFFECT})])
def test_a_task_with_the_idempotency_key_of_one_that_had_its_effect_needs_none(story, mark, other_key, names):
    story("log", "written", 0, note="pay-7")("log", "written", 1, note=other_key)
    story("a", "finished", 0)("a", "effect", 0, key="task-0")("b", mark, 1)
    assert story.names() == names


def test_an_effect_without_a_mark_is_fine(story):
    """Its worker died in between, and nobody has come to it yet."""
    assert story("a", "effect", 0, key=None)("b", "repeated", 0).names() == set()


def test_what_was_put_away_has_no_effect(story):
    assert story("a", "effect", 0, key=None)("a", "shed", 1)("a", "spilled", 2)("a", "failed", 3).names() == set()


def test_where_nobody_tells_of_effects_nothing_is_missing(story):
    assert story.did("a", 0).names() == set()


def test_effects_by_keys_of_their_own_leave_it_open(story):
    story("a", "finished", 0, 1)("a", "effect", 0, key="bill-7")
    verdict = check(story.events)
    assert verdict.ok(allow=())
    assert verdict.unjudged[NO_EFFECT].startswith("Effects are known by keys of their own")
