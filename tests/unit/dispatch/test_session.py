"""What a session waits for may be away for a moment."""

from __future__ import annotations

import logging

import pytest

from labkit.dispatch.session import CelerySession
from labkit.errors import BrokerUnreachable, RedisUnreachable, UnknownTopic
from labkit.outage import Outage


@pytest.mark.parametrize("error", [RedisUnreachable, BrokerUnreachable, UnknownTopic])
def test_a_wait_goes_on_while_something_is_away(error):
    session = CelerySession.__new__(CelerySession)  # no more of it is needed than what says so
    session._outage = Outage(logging.getLogger(__name__), "the session", "Redis and Kafka")
    answers = iter([error(), None])

    def look() -> bool:
        if (answer := next(answers)) is not None:
            raise answer
        return True

    holds = session._patient(look)
    assert not holds()
    assert session._outage.on
    assert holds()
    assert not session._outage.on
