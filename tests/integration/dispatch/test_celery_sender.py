"""Handing tasks to a real Redis, as Celery's workers expect them."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from labkit.celery_app.application import LEVELS, key_prefix, level_key, make_app
from labkit.celery_app.capacity import connect
from labkit.dispatch import celery_sender as sender_module
from labkit.dispatch.celery_sender import CelerySender
from labkit.errors import RedisUnreachable, UnknownKind
from labkit.taskqueue.task import new_task
from labkit.taskqueue.timeouts import wait_until
from tests.conditions import PATIENCE, in_time
from tests.integration.celery_app.conftest import envelope


def messages(client, settings, level: int) -> list[dict]:
    """What waits on one level, the next first."""
    found = client.lrange(level_key(key_prefix(settings), level), 0, -1)
    return [json.loads(message) for message in reversed(found)]


def test_a_task_keeps_its_id_and_has_the_level_of_its_class(client, app, settings):
    ranks = [0, 3, LEVELS - 1, LEVELS + 5]
    sent = [envelope(rank=rank) for rank in ranks]
    CelerySender(app).send(sent)
    for one, level in zip(sent[:2], ranks, strict=False):
        (message,) = messages(client, settings, level)
        assert message["headers"]["id"] == one.task.id
        assert message["headers"]["task"] == "labkit.celery_app.kinds.sleep_for"
        assert message["content-type"] == "application/x-labkit+json"
        assert message["properties"]["priority"] == level
    last = [message["headers"]["id"] for message in messages(client, settings, LEVELS - 1)]
    assert last == [one.task.id for one in sent[2:]], "beyond the last level is the last level"


def test_a_batch_keeps_its_order(client, app, settings):
    sent = [envelope() for _ in range(200)]
    CelerySender(app).send(sent)
    assert [message["headers"]["id"] for message in messages(client, settings, 0)] == [one.task.id for one in sent]


def test_of_a_batch_with_an_unknown_kind_nothing_is_sent(client, app, settings):
    with pytest.raises(UnknownKind, match="'no-such-kind'"):
        CelerySender(app).send([envelope(), envelope(new_task("no-such-kind")), envelope()])
    assert messages(client, settings, 0) == []


def test_while_redis_is_away_it_says_so_at_once_and_then_goes_on(own_redis, settings):
    sender = CelerySender(make_app(own_redis.url, settings))
    sender.send([envelope()])
    own_redis.kill()
    for _ in range(3):
        with pytest.raises(RedisUnreachable, match="did not take 2 tasks"):
            in_time(lambda: sender.send([envelope(), envelope()]))
    own_redis.start()
    sender.send([envelope(), envelope()])
    with connect(own_redis.url) as client:
        assert len(messages(client, settings, 0)) == 3
    sender.close()
    sender.close()
    sender.send([envelope()])
    sender.close()


def test_a_redis_that_hangs_is_one_that_is_away(own_redis, settings, monkeypatch):
    monkeypatch.setattr(sender_module, "ANSWER_TIMEOUT", PATIENCE)
    sender = CelerySender(make_app(own_redis.url, settings))

    def is_sent() -> bool:
        with suppress(RedisUnreachable):  # a machine that is busy may need longer than so short a time
            sender.send([envelope()])
            return True
        return False

    with monkeypatch.context() as impatient:
        impatient.setattr(sender_module, "ANSWER_TIMEOUT", 0.3)
        wait_until(is_sent, timeout=120, what="the first task was to be sent")
        with own_redis.frozen(), pytest.raises(RedisUnreachable):
            sender.send([envelope()])
    again = envelope()
    sender.send([again])
    with connect(own_redis.url) as client:
        assert messages(client, settings, 0)[-1]["headers"]["id"] == again.task.id
    sender.close()
