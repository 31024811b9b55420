"""Dramatiq on Redis, set up for empty tasks: `python -m dramatiq benchmarks.rival_dramatiq`.

`python -m benchmarks.rival_dramatiq COUNT` sends the tasks.
"""

from __future__ import annotations

import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.rival_redis import PREFIX, count_one, redis_url

# no middleware: nothing that limits time or age, no retries, no results
dramatiq.set_broker(RedisBroker(url=redis_url(), namespace=f"{PREFIX}dramatiq", middleware=[]))  # type: ignore[no-untyped-call]


@dramatiq.actor
def empty() -> None:
    """An empty task."""
    count_one()


if __name__ == "__main__":
    for _ in range(int(sys.argv[1])):
        empty.send()
