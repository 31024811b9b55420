"""The queue of what is to be graded, in a real Redis: what is in it, who lives, and what comes again after a death."""

from __future__ import annotations

import base64
import json

import pytest

from labkit.errors import RedisUnreachable
from labkit.grading.remote.graded_work import GradingTask
from labkit.grading.remote.grading_queue import SILENCE, FailedGrading, GradingQueue
from labkit.settings import Settings
from tests.integration.own_redis import OwnRedis

TASK = GradingTask(version="1", assignment="a" * 64, submission="b" * 64)


@pytest.fixture
def queue(own_redis: OwnRedis) -> GradingQueue:
    return other(own_redis)


def other(own_redis: OwnRedis, *, address: str = "/files", version: str = "1") -> GradingQueue:
    return GradingQueue(own_redis.url, Settings(_env_file=None), address=address, version=version)


def test_a_message_has_names_only_and_is_seen_by_who_has_its_folder_and_version(
    queue: GradingQueue, own_redis: OwnRedis
) -> None:
    assert queue.look(TASK.key) == (False, None, ())
    queue.send(TASK)
    assert queue.look(TASK.key).is_there
    assert other(own_redis).look(TASK.key).is_there
    assert not queue.look("0" * 64).is_there
    assert not other(own_redis, address="/others").look(TASK.key).is_there
    assert not other(own_redis, version="2").look(TASK.key).is_there
    with own_redis.client() as client:
        (name,) = [key for key in client.keys("*") if client.type(key) == b"list"]
        message = json.loads(client.lindex(name, 0))
    assert (message["content-type"], message["headers"]["id"]) == ("application/json", TASK.key)
    names, options, _ = json.loads(base64.b64decode(message["body"]))
    assert (names, options) == (["1", "a" * 64, "b" * 64], {})


def test_what_a_worker_has_is_there_and_comes_again_only_after_its_silence(
    queue: GradingQueue, own_redis: OwnRedis
) -> None:
    with own_redis.client() as client:
        (prefix,) = {queue.app.conf.broker_transport_options["global_keyprefix"]}
        client.hset(f"{prefix}unacked", "tag", f'[{{"headers": {{"id": "{TASK.key}"}}}}, "", ""]')
        client.zadd(f"{prefix}unacked_index", {"tag": 1.0, "another's": 1.0})
        queue.sign("host-1", ["tag", "gone"])
        scores = dict(client.zrange(f"{prefix}unacked_index", 0, -1, withscores=True))
        (seconds, _) = client.time()
    assert scores.keys() == {b"tag", b"another's"}
    assert scores[b"another's"] == 1.0
    assert abs(scores[b"tag"] - seconds) < 600  # by the clock of Redis
    assert queue.app.conf.broker_transport_options["visibility_timeout"] == SILENCE
    assert queue.look(TASK.key).is_there


def test_who_lives_is_known_with_the_version(queue: GradingQueue, own_redis: OwnRedis) -> None:
    newer = other(own_redis, version="2")
    queue.sign("host-1", [])
    newer.sign("host-2", [])
    assert queue.look("").workers == newer.look("").workers == ("host-1 1", "host-2 2")
    queue.leave("host-1")
    assert queue.look("").workers == ("host-2 2",)
    with own_redis.client() as client:
        (signs,) = client.keys("*graders")
        client.zincrby(signs, -1000 * (SILENCE + 1), "host-2 2")
    assert queue.look("").workers == ()


def test_beginnings_are_counted_until_it_is_told_what_came_of_it(queue: GradingQueue) -> None:
    assert [queue.begin(TASK.key), queue.begin(TASK.key)] == [1, 2]
    failed = FailedGrading(reason="No sandbox.")
    queue.end(TASK.key, failed)
    assert queue.look(TASK.key).failed == failed
    assert queue.begin(TASK.key) == 0
    queue.end(TASK.key)
    assert queue.look(TASK.key).failed == failed
    queue.send(TASK)
    assert queue.look(TASK.key).failed is None
    assert queue.begin(TASK.key) == 1


def test_a_redis_that_is_away_is_said_by_every_call(queue: GradingQueue, own_redis: OwnRedis) -> None:
    calls = [
        lambda: queue.look(TASK.key),
        lambda: queue.send(TASK),
        lambda: queue.begin(TASK.key),
        lambda: queue.end(TASK.key),
        lambda: queue.sign("host-1", ["tag"]),
        lambda: queue.leave("host-1"),
    ]
    with own_redis.killed():
        for call in calls:
            with pytest.raises(RedisUnreachable):
                call()
    queue.send(TASK)
    with own_redis.full(), pytest.raises(RedisUnreachable, match="is full"):
        queue.send(TASK)
    assert queue.look(TASK.key).is_there
