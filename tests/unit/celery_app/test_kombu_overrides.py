"""What Celery asks of a Redis that has become a replica goes to another one later; what is left out takes no place."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from labkit.celery_app.application import make_app
from labkit.celery_app.kombu_overrides import Channel, RedisAway, _QoS
from labkit.celery_app.unsettled_messages import UnsettledMessages
from labkit.settings import Settings
from tests.unit.failover import ANSWERS, failover_server

ASKING = {
    "ring": lambda channel: channel.ring(),
    "evaluate": lambda channel: channel.evaluate("return 1", ["key"]),
    "put": lambda channel: channel._put("queue", {"properties": {}}),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)
def test_the_next_one_goes_over_a_new_connection(ask, answer):
    with failover_server(answer) as server:
        app = make_app(server.url, Settings(_env_file=None))  # type: ignore[call-arg]
        with app.connection_for_write() as connection:
            channel = connection.default_channel
            ask(channel)
            server.fail_over()
            with pytest.raises(RedisAway):
                ask(channel)
            ask(channel)
        app.close()


class Hands(Channel):
    """A channel to which Redis hands one message after the other, and which is told nothing."""

    global_keyprefix, do_restore = "", False

    def __init__(self, consume: Any) -> None:
        self.unsettled, self.is_away = UnsettledMessages(), lambda: True
        self.connection = SimpleNamespace(_deliver=self._deliver)
        self._queue_cycle = SimpleNamespace(rotate=lambda queue: None)
        self._qos = _QoS(self, 1)
        self._consume = consume
        self._tags = iter("abcdefgh")

    def _answer(self, **_: object) -> Any:
        tag = next(self._tags)
        return b"q", json.dumps({"properties": {"delivery_tag": tag}}).encode(), tag.encode()

    def _flush_brpop_reauth(self) -> None: ...

    def _deliver(self, payload: Any, queue: str) -> None:
        tag = payload["properties"]["delivery_tag"]
        self.qos.append(SimpleNamespace(), tag)
        self._consume(self, tag)

    def close(self) -> None: ...

    def told(self) -> list[str]:
        told: list[str] = []
        self.unsettled.settle(lambda tag, _: told.append(tag))
        return told


def test_a_message_that_is_left_out_when_it_comes_takes_no_place_and_is_acknowledged_later() -> None:
    channel = Hands(lambda channel, tag: channel.leave_out([tag]) if tag != "d" else None)
    for _ in "abc":
        channel._brpop_read()
    assert (channel.qos.can_consume(), channel.told()) == (True, [])
    channel._brpop_read()
    assert not channel.qos.can_consume(), "the fourth is held in its place"
    channel.basic_ack("a")
    assert (channel.qos.can_consume(), channel.told()) == (False, ["a"]), "its place is nobody's"
    channel.basic_ack("d")
    assert (channel.qos.can_consume(), channel.told()) == (True, ["d"])
