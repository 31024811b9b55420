"""When the checker refuses to judge, and that it says why."""

from __future__ import annotations

import pytest

from labkit.faults import ANOMALIES, History, check
from tests.unit.faults.play import peaceful_plan, play, rough_plan

TWO_LIVES = "these are two runs, or two lives of a topic"


def refusal(events):
    verdict = check(events)
    assert not verdict.ok(allow=ANOMALIES)
    assert not any(verdict.counts.values())
    assert str(verdict) == f"Not judged: {verdict.refusal}"
    return verdict.refusal


def test_an_empty_history_proves_nothing():
    assert refusal([]) == "nothing was promised and nobody did anything, which proves nothing."


def test_a_run_in_which_nothing_was_promised_proves_nothing(story):
    story("p", "sent", 0)("p", "refused", 0)("nemesis", "fault", 0, whom="a", note="SIGKILL")
    assert "nobody did anything" in refusal(story.events)


@pytest.mark.parametrize("what", ["assigned", "committed", "replayed", "dropped"])
def test_to_own_and_to_commit_is_to_do_nothing(story, what):
    assert "nobody did anything" in refusal(story("a", what, 0).events)


def test_a_kind_of_events_that_nobody_knows_may_mean_anything(story):
    story.on_topic(0)("a", "finised", 0)
    assert "events of the kind finised, and there are sent, acknowledged," in refusal(story.events)


@pytest.mark.parametrize("kind", ["received", "acknowledged", "written"])
def test_two_records_at_one_offset_are_of_two_lives(story, kind):
    story.did("a", 0)("x", kind, 3)("y", kind, 3, task="other")
    said = refusal(story.events)
    assert said.startswith(f"tasks task-3 and other were both {kind} at offset 3 of partition 0.")
    assert TWO_LIVES in said


def test_a_record_that_is_sent_again_gets_an_offset_of_its_own(story):
    story("p", "sent", 0)("p", "acknowledged", 0)("p", "sent", 0)("p", "acknowledged", 0).on_topic(0).did("a", 0)
    assert TWO_LIVES in refusal(story.events)


def test_an_answer_that_comes_twice_is_no_second_run(story):
    story("p", "sent", 0)("p", "acknowledged", 0, 0).on_topic(0).did("a", 0)
    assert check(story.events).ok(allow=())


def test_a_log_that_agrees_nowhere_is_that_of_another_life(story):
    story("p", "acknowledged", 0, 1)("log", "written", 0, task="x")("log", "written", 1, task="y").did("a", 0, 1)
    assert "the log of partition 0 has other tasks at all offsets that are known" in refusal(story.events)


def test_a_log_that_agrees_somewhere_is_this_one(story):
    story("p", "acknowledged", 0, 1, 2).on_topic(0)("log", "written", 1, task="x")("log", "written", 2, task="y")
    assert not check(story.did("a", 0, 1, 2).events).refusal


def test_two_runs_in_one_history_are_told_apart():
    for seed in range(3):
        two = History([*play(peaceful_plan(seed)), *play(rough_plan(seed + 10))])
        assert TWO_LIVES in refusal(two)


def test_the_same_run_played_twice_is_told_apart(story):
    """The same seed makes the same tasks; the workers bear the same names and count from 0 again."""
    first = play(peaceful_plan(1))
    again = [event for event in play(peaceful_plan(1)) if event.what != "written"]
    doubled = History([*first, *(type(event)(**{**as_dict(event), "at": event.at + 100}) for event in again)])
    assert TWO_LIVES in refusal(doubled)


def as_dict(event):
    return {name: getattr(event, name) for name in event.__struct_fields__}


def test_a_refusal_in_a_notebook_says_why():
    assert "Not judged: nothing was promised" in check([])._repr_html_()
