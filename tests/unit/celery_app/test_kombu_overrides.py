"""What Celery asks of a Redis that has become a replica, it asks of another one the next time."""

from __future__ import annotations

import pytest

from labkit.celery_app.application import make_app
from labkit.celery_app.kombu_overrides import RedisAway
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
