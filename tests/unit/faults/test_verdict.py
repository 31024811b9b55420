"""How a verdict reads."""

from __future__ import annotations

import pytest

from labkit.faults import DUPLICATE, EFFECT_TWICE, Event, check


def effect(by, key):
    return Event(what="effect", by=by, seq=0, at=2.5, task="<7>", key=key)


def finished(by):
    return Event(what="finished", by=by, seq=0, at=2.5, task="t", partition=0, offset=0)


BAD = [effect("a", "x"), effect("b", "x"), effect("a", "y"), effect("b", "y")]
REPEATED = [finished("a"), finished("b")]


def test_duplicates_are_anomalies_that_are_allowed():
    verdict = check(REPEATED)
    assert verdict.counts[DUPLICATE] == 1
    assert verdict.ok()
    assert not verdict.ok(allow=())
    assert "nothing but duplicates, which delivery at least once allows" in str(verdict)
    assert "     1  duplicate (allowed): Task t was finished 2 times" in str(verdict)


def test_anything_else_is_allowed_only_by_name():
    verdict = check(BAD)
    assert not verdict.ok()
    assert verdict.ok(allow=(EFFECT_TWICE,))
    assert not check([*BAD, *REPEATED]).ok(allow=(EFFECT_TWICE,))


def test_a_name_that_no_anomaly_has_is_a_mistake():
    with pytest.raises(ValueError, match="no anomaly named 'dupes'; give some of lost task"):
        check([]).ok(allow=("dupes",))


def test_an_anomaly_says_who_and_when():
    anomaly = check(BAD).anomalies[EFFECT_TWICE][0]
    assert (anomaly.name, anomaly.task, anomaly.who, anomaly.when) == (EFFECT_TWICE, "<7>", "b", 2.5)


def test_a_verdict_in_text_has_a_line_per_anomaly_with_the_first_example():
    assert str(check(BAD)).splitlines() == [
        "Something went wrong: 0 tasks, 0 attempts, 0 redeliveries.",
        "     2  effect done twice: The effect x of task <7> was done 2 times, by a and b.",
    ]
    assert str(check([finished("a")])) == "All is well: 0 tasks, 0 attempts, 0 redeliveries, no anomaly."
    assert repr(check(BAD)) == str(check(BAD)), "so that it reads well as the value of a cell, without times"


def test_a_verdict_in_a_notebook_is_a_small_table():
    html = check(BAD)._repr_html_()
    assert html.count("<tr>") == 2
    assert "<td>2</td>" in html
    assert "&lt;7&gt;" in html
    assert "<7>" not in html
    assert "<table>" not in check([finished("a")])._repr_html_()
