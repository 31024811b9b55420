"""How the classes of one dispatcher stand."""

from __future__ import annotations

from labkit.dispatch.class_status import ClassCounts, ClassStatus


def test_each_class_has_its_own_counts_and_its_reason():
    counts = ClassCounts(name for name in ("high", "low"))
    counts.sent["high"] += 3
    counts.shed["low"] += 2
    counts.dead["low"] += 1
    counts.held = {"low": "the queue is full"}
    assert counts.status("high", topic="jobs.high", waiting=0) == ClassStatus(
        name="high", topic="jobs.high", waiting=0, sent=3, shed=0, dead=0, held=""
    )
    assert counts.status("low", topic="jobs.low", waiting=7) == ClassStatus(
        name="low", topic="jobs.low", waiting=7, sent=0, shed=2, dead=1, held="the queue is full"
    )
