"""Redis is killed while it answers, and started again: nothing that it acknowledged is lost."""

from __future__ import annotations

import threading

import pytest
import redis

from labkit.errors import LabError
from labkit.lab import Lab
from labkit.settings import Settings
from tests.integration.lab.conftest import pid_exists


def test_sigkill_while_it_answers_loses_nothing_that_it_acknowledged(own_lab, unique_name):
    acknowledged: list[int] = []
    enough = threading.Event()

    def push() -> None:
        client = redis.Redis.from_url(own_lab.redis_url)
        try:
            while True:
                acknowledged.append(int(client.lpush(unique_name, "x" * 500)))
                if len(acknowledged) == 1_000:
                    enough.set()
        except redis.ConnectionError:
            client.close()

    pusher = threading.Thread(target=push)
    pusher.start()
    assert enough.wait(60)
    first = own_lab.redis_pid
    own_lab.kill_redis()
    pusher.join()
    assert not pid_exists(first)
    assert own_lab.redis_pid is None

    own_lab.restart_redis()
    assert own_lab.redis_pid not in (None, first)
    with redis.Redis.from_url(own_lab.redis_url) as client:
        assert client.llen(unique_name) >= acknowledged[-1]
        # with "everysec" an answer goes out before the file is written while an fsync is on its way
        assert client.config_get("appendfsync") == {"appendfsync": "no"}


def test_one_that_runs_is_ended_first(own_lab, unique_name):
    with redis.Redis.from_url(own_lab.redis_url) as client:
        client.set(unique_name, "kept")
        first = own_lab.redis_pid
        own_lab.restart_redis()
        assert not pid_exists(first)
        assert own_lab.redis_pid != first
        assert client.get(unique_name) == b"kept"


def test_killing_it_twice_is_no_error(own_lab):
    own_lab.kill_redis()
    own_lab.kill_redis()
    own_lab.restart_redis()
    assert own_lab.redis_pid is not None


def test_an_external_redis_is_left_alone(own_lab):
    settings = Settings(bootstrap_servers=own_lab.bootstrap_servers, redis_url=own_lab.redis_url)
    with Lab(settings=settings) as other:
        for act in (other.kill_redis, other.restart_redis):
            with pytest.raises(LabError, match="LABKIT_REDIS_URL"):
                act()
    assert own_lab.redis_pid is not None
