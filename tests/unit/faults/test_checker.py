"""Groups, doubled lines, names that stand for two, and histories that are wrong throughout."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from labkit.faults import AHEAD, DEAD_TWICE, DUPLICATE, EFFECT_TWICE, GOING_BACK, LOST, OUT_OF_ORDER, History, check
from labkit.faults.verdict import KEPT
from tests.unit.faults.names import names_in
from tests.unit.faults.play import play, rough_plan

OF_NO_GROUP = ("sent", "acknowledged", "refused", "written", "fault", "dead")


def by_group(history, group):
    """The same events by the workers of this group."""
    return [replace(event, group=group) for event in history if event.what not in OF_NO_GROUP]


# --- groups


def test_workers_of_one_name_in_two_groups_are_two(story):
    story("w", "received", 5, group="a")("w", "started", 5, group="a")
    story("w", "received", 7, group="b")("w", "started", 7, group="b")("w", "finished", 7, group="b")
    assert story("w", "finished", 5, group="a").names() == set()


def test_without_their_groups_they_would_be_one(story):
    story("w", "received", 5)("w", "started", 5)("w", "received", 7)("w", "started", 7)
    assert story("w", "finished", 7)("w", "finished", 5).names() == {OUT_OF_ORDER}


def test_each_group_has_to_do_every_task(story):
    story.on_topic(0, 1)
    for offset in (0, 1):
        story("w", "received", offset, group="a")("w", "finished", offset, group="a")
    story("w", "received", 0, group="b")("w", "finished", 0, group="b")
    anomaly = story.only(LOST)
    assert (anomaly.task, anomaly.sentence[:25]) == ("task-1", "In group b: Task task-1 w")


def test_what_two_groups_do_is_done_once_by_each(story):
    for group in ("a", "b"):
        story("w", "finished", 0, group=group)("w", "effect", 0, key="bill", group=group)
        story("w", "committed", 5 if group == "a" else 1, group=group)
    assert story.on_topic(0).names() == set()


def test_what_names_no_group_beside_one_that_does_is_a_group_of_its_own(story):
    story.on_topic(0)("w", "finished", 0)("w", "finished", 0, group="b")
    assert story.names() == set()


def test_commits_and_effects_without_a_group_are_of_the_only_one_there_is(story):
    """Commits read from the broker and effects read from a file say nothing of groups."""
    story.on_topic(0, 1)("w", "assigned", 0)("w", "received", 0, group="g")("w", "finished", 0, group="g")
    story("w", "committed", 2)
    story("process 7", "effect", 0, key="task-0")("process 7", "finished", 0, partition=None, offset=None)
    anomaly = story.only(LOST)
    assert anomaly.task == "task-1"
    assert "committed as done by w" in anomaly.sentence


def test_work_without_a_group_is_of_the_only_one_that_commits(story):
    story.on_topic(0).did("w", 0)("the group", "committed", 1, group="g")
    assert story.names() == set()


def test_a_worker_whose_commits_name_no_group_is_the_same_worker(story):
    story.on_topic(0, 1)("w", "received", 0, group="g")("w", "committed", 1)("w", "finished", 0, group="g")
    assert story.names() == {AHEAD, LOST}


@pytest.mark.parametrize(("what", "left_open"), [("committed", GOING_BACK), ("effect", EFFECT_TWICE)])
def test_of_several_groups_it_is_left_open_whose_something_without_one_is(story, what, left_open):
    story.on_topic(0)
    for group in ("a", "b"):
        story("w", "received", 0, group=group)("w", "finished", 0, group=group)
    verdict = check(story("x", what, 1)("x", what, 0).events)
    assert verdict.ok(allow=())
    assert f"2 events of the kind {what} name no group" in verdict.unjudged[left_open]


def test_of_several_groups_two_letters_without_one_may_be_of_each(story):
    for group in ("a", "b"):
        story("w", "received", 0, group=group)("w", "failed", 0, group=group)
    verdict = check(story.on_topic(0)("w", "dead", 0, 0).events)
    assert verdict.ok(allow=())
    assert "2 dead letters of one record" in verdict.unjudged[DEAD_TWICE]
    assert story("w", "dead", 0, 0, group="a").only(DEAD_TWICE).sentence.startswith("In group a: Task task-0 at")


def test_of_several_groups_a_letter_without_one_contradicts_nobody(story):
    """Another group has a worker of that name too."""
    story.on_topic(0, 1).did("w", 0)("w", "received", 1)("w", "repeated", 1)("v", "finished", 0, 1, group="b")
    assert story("w", "dead", 0, 1).names() == set()


def test_letters_without_a_group_are_of_the_only_one_there_is(story):
    story.on_topic(0)("w", "received", 0, group="a")("w", "failed", 0, group="a")
    assert story("w", "dead", 0, 0).names() == {DEAD_TWICE}


def test_two_groups_with_the_same_history_have_the_same_faults():
    history = play(rough_plan(3))
    of_all = [event for event in history if event.what in OF_NO_GROUP]
    both = History([*of_all, *by_group(history, "a"), *by_group(history, "b")])
    one, two = check(history), check(both)
    assert names_in(two) == {DUPLICATE}
    assert two.counts[DUPLICATE] == 2 * one.counts[DUPLICATE]
    assert two.redeliveries == 2 * one.redeliveries
    assert two.tasks == one.tasks


# --- doubled lines


@pytest.mark.parametrize("seed", range(3))
def test_lines_that_are_there_twice_are_there_once(seed):
    history = list(play(rough_plan(seed)))
    doubled = [*history, *random.Random(seed).sample(history, len(history) // 2), *history[:10]]
    random.Random(seed).shuffle(doubled)
    once, twice = check(history), check(doubled)
    assert twice.counts == once.counts
    assert (twice.tasks, twice.attempts, twice.redeliveries) == (once.tasks, once.attempts, once.redeliveries)


def test_a_moment_that_is_not_known_is_the_same_in_a_doubled_line(story):
    story.did("a", 0)
    history = [replace(event, at=float("nan")) for event in story.events]
    assert check(history * 2).counts == check(history).counts
    assert check(history * 2).unjudged == {}


def test_an_effect_in_a_doubled_line_was_had_once(story):
    story("a", "effect", 4, key="bill-4")
    assert check(story.events * 2).ok(allow=())
    assert check([*story.events, replace(story.events[0], seq=7)]).counts[EFFECT_TWICE] == 1


def test_commits_that_differ_in_what_they_remember_are_two(story):
    story.on_topic(0, 1, 2)("a", "committed", 1, beyond=(2,))
    other = replace(story.events[-1], beyond=(1,))
    said = [anomaly.sentence for anomaly in check([*story.events, other]).anomalies[LOST]]
    assert ["was committed as done" in sentence for sentence in said] == [True, True, True]


# --- names that stand for two


def test_a_name_with_one_number_at_two_events_has_no_order(story):
    """Two processes of one name, each of which counts from 0."""
    story("w", "received", 5, 7)("w", "started", 5, 7)("w", "finished", 7, 5)("w", "committed", 6, 2)
    story.events.append(replace(story.events[0], offset=9, task="task-9"))
    verdict = check(story.events)
    assert verdict.ok(allow=())
    assert set(verdict.unjudged) == {OUT_OF_ORDER, GOING_BACK, AHEAD}
    assert verdict.unjudged[OUT_OF_ORDER] == (
        "Different events of w have one number, so the name stands for two, or its order is not known."
    )


def test_the_others_are_judged_all_the_same(story):
    story("v", "received", 1)("w", "received", 5, 7)("w", "started", 5, 7)("w", "finished", 7, 5)
    story.events.append(replace(story.events[0], offset=2, task="task-2"))
    assert story.only(OUT_OF_ORDER).who == "w"


# --- histories that are wrong throughout


def test_of_very_many_anomalies_all_are_counted_and_some_are_kept(story):
    story.on_topic(*range(2 * KEPT))("a", "finished", *range(KEPT, 2 * KEPT))("b", "finished", *range(KEPT, 2 * KEPT))
    verdict = check(story.events)
    assert (verdict.counts[LOST], verdict.counts[DUPLICATE]) == (KEPT, KEPT)
    story.on_topic(*range(5000, 5000 + KEPT))
    verdict = check(story.events)
    assert verdict.counts[LOST] == 2 * KEPT
    assert len(verdict.anomalies[LOST]) == KEPT
    assert f"  {2 * KEPT}  lost task: " in str(verdict)


def test_no_anomaly_is_hidden_among_those_of_another_group(story):
    for group in ("a", "b"):
        story("w", "finished", *range(KEPT), group=group)("w", "finished", *range(KEPT), group=group)
    verdict = check(story.events)
    assert verdict.counts[DUPLICATE] == 2 * KEPT
    assert len(verdict.anomalies[DUPLICATE]) == KEPT
