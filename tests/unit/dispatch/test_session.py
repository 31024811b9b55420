"""What a session waits for may be away for a moment, or give no answer at all."""

from __future__ import annotations

import logging
import threading
from functools import partial
from types import SimpleNamespace

import pytest

from labkit.celery_app.capacity import Count
from labkit.dispatch.session import CelerySession
from labkit.dispatch.session_records import SessionRecords
from labkit.errors import BrokerUnreachable, DeadlineExceeded, RedisUnreachable, UnknownTopic
from labkit.outage import Outage
from labkit.settings import Settings
from tests.conditions import PATIENCE, in_time


@pytest.fixture
def session():
    """No more of one is needed than what waits and says so."""
    session = CelerySession.__new__(CelerySession)
    session._records, session._lag = [], {}
    session._outage = Outage(logging.getLogger(__name__), "the session", "Redis and Kafka")
    return session


AWAY = [RedisUnreachable, BrokerUnreachable, UnknownTopic]


@pytest.mark.parametrize("error", AWAY)
def test_a_wait_goes_on_while_something_is_away(session, error):
    answers, outages = iter([error(), None]), []

    def look() -> bool:
        outages.append(session._outage.on)
        if (answer := next(answers)) is not None:
            raise answer
        return True

    session._wait(look, timeout=PATIENCE, what="it was to hold")
    assert outages == [False, True]
    assert not session._outage.on


@pytest.mark.parametrize("error", AWAY)
def test_what_is_away_when_the_time_is_over_is_named(session, error):
    def look() -> bool:
        raise error("There is no topic 'orders'.")

    with pytest.raises(DeadlineExceeded, match=r"it was to hold.* There is no topic 'orders'\."):
        session._wait(look, timeout=0, what="it was to hold")


NOTHING = Count(granted=0, unacknowledged=0, concurrency=1, reserved=0, waiting=(0,), limit=1)


@pytest.mark.parametrize("question", ["count", "records", "is all lost"])
def test_a_drain_ends_in_time_where_redis_gives_no_answer(session, question):
    answered = threading.Event()

    def ask(what: str, answer: object) -> object:
        if what == question:
            answered.wait()
        return answer

    session.dispatcher = session.worker = SimpleNamespace(check=lambda: None)
    session._settings, session._lag, session._groups = Settings(_env_file=None), {}, {}
    session.count = partial(ask, "count", NOTHING)
    session._missing = lambda deadline: {"low": 1}
    session._client = SimpleNamespace(exists=lambda key: ask("is all lost", 1))
    session._records = SessionRecords(SimpleNamespace(read=partial(ask, "records", [])))
    try:
        with pytest.raises(DeadlineExceeded):
            in_time(partial(session.drain, timeout=0.2))
    finally:
        answered.set()
