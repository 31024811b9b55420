"""What Redis has not been told of messages is told later, in order, and only once."""

from __future__ import annotations

import pytest
import redis

from labkit.celery_app.unsettled_messages import Disposition, UnsettledMessages


@pytest.fixture
def unsettled() -> UnsettledMessages:
    made = UnsettledMessages()
    made.add("a", Disposition.DONE)
    made.add("b", Disposition.RELEASED)
    return made


def test_each_is_told_once(unsettled: UnsettledMessages) -> None:
    told: list[tuple[str, Disposition]] = []
    for _ in range(2):
        unsettled.settle(lambda *one: told.append(one))
    assert told == [("a", Disposition.DONE), ("b", Disposition.RELEASED)]
    assert not unsettled


def test_what_redis_does_not_take_now_stays(unsettled: UnsettledMessages) -> None:
    asked: list[str] = []

    def refuse(tag: str, disposition: Disposition) -> None:
        asked.append(tag)
        if tag == "b":
            raise redis.ReadOnlyError("not now")

    for _ in range(2):
        unsettled.settle(refuse)
    assert asked == ["a", "b", "b"]
    assert unsettled


def test_what_redis_refuses_is_said_once_and_holds_up_no_other(
    unsettled: UnsettledMessages, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    def mistake(tag: str, disposition: Disposition) -> None:
        asked.append(tag)
        raise redis.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")

    unsettled.settle(mistake)
    assert asked == ["a", "b"]
    assert not unsettled
    (said,) = caplog.records
    assert (said.levelname, "WRONGTYPE" in said.getMessage()) == ("ERROR", True)
