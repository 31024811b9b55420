"""What a session waits for may be away for a moment."""

from __future__ import annotations

import logging

import pytest

from labkit.dispatch.session import CelerySession
from labkit.errors import BrokerUnreachable, DeadlineExceeded, RedisUnreachable, UnknownTopic
from labkit.outage import Outage
from tests.conditions import PATIENCE


@pytest.fixture
def session():
    """No more of one is needed than what waits and says so."""
    session = CelerySession.__new__(CelerySession)
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
