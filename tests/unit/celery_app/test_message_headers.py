"""When a message in Celery's queue is due: by the clock of whoever has sent it, but not in an hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from labkit.celery_app.message_headers import bound_wait

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONGEST = 10.0


def wait_of(eta: datetime) -> float:
    """How many seconds the message waits that says this."""
    headers = {"eta": eta.isoformat()}
    bound_wait(headers, LONGEST, clock=NOW.timestamp)
    due = datetime.fromisoformat(headers["eta"])
    return (due.replace(tzinfo=due.tzinfo or UTC) - NOW).total_seconds()


@pytest.mark.parametrize(("ahead", "wait"), [(-3600, -3600), (0.5, 0.5), (10, 10), (10.5, 10), (3600, 10), (1e8, 10)])
def test_it_waits_no_longer_than_any_retry(ahead: float, wait: float) -> None:
    eta = NOW + timedelta(seconds=ahead)
    assert wait_of(eta) == wait
    assert wait_of(eta.astimezone(timezone(timedelta(hours=5)))) == wait
    assert wait_of(eta.replace(tzinfo=None)) == wait


def test_one_without_a_moment_is_left_alone() -> None:
    for headers in ({}, {"eta": None}):
        bound_wait(headers, LONGEST)
        assert not headers.get("eta")
