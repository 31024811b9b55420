"""The rivals on Redis: their workers start, do what is queued, and end."""

from __future__ import annotations

from contextlib import suppress

import psutil
import pytest
import redis

from benchmarks.redis_rivals import CELERY, DRAMATIQ, Rival, rate
from benchmarks.rival_redis import REDIS_URL


@pytest.mark.parametrize(
    "rival", [pytest.param(CELERY, marks=pytest.mark.long), DRAMATIQ], ids=lambda rival: rival.name
)
def test_a_rival_does_the_tasks_that_are_queued_for_it_and_is_gone_then(own_redis, rival: Rival):
    assert rate(rival, own_redis.url, 50, 2) > 0
    with redis.Redis.from_url(own_redis.url) as client:
        assert not client.dbsize()
    assert processes_for(own_redis.url) == []


def processes_for(url: str) -> list[int]:
    """The pids of all rivals' processes that were told of this Redis."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(REDIS_URL) == url:
                found.append(process.pid)
    return found
