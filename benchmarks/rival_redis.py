"""What the workers of both rivals on Redis share: where Redis is, and saying when the tasks are done."""

from __future__ import annotations

import os
import time
from itertools import count

import redis

#: How a rival's worker is told, in its environment.
REDIS_URL, TASKS = "BENCHMARK_REDIS_URL", "BENCHMARK_TASKS"
#: What all keys of the rivals begin with, since the Redis may be somebody's.
PREFIX = "benchmark:"
#: The list to which a worker pushes the moments of its first and of its last task.
MOMENTS = f"{PREFIX}moments"

_last = int(os.environ.get(TASKS, "0"))
_numbers = count(1)
_began: list[float] = []


def redis_url() -> str:
    """The URL of the lab's Redis, as redis-py takes it."""
    return os.environ[REDIS_URL]


def count_one() -> None:
    """A task is done; the last one says when it and the first were. Costs under a microsecond otherwise."""
    number = next(_numbers)
    if number == 1:
        _began.append(time.perf_counter())
    if number == _last:
        moments = (_began[0], time.perf_counter())
        with redis.Redis.from_url(redis_url()) as client:
            client.rpush(MOMENTS, *map(repr, moments))
