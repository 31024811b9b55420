"""The capacity of Celery's queue: what is taken, how much may be, and reservations that keep dispatchers apart.

Taken is what waits on every priority level of the queue, plus what workers have taken and not acknowledged (kombu's
hash `unacked`), plus what other dispatchers have reserved and are about to send. How much of that there may be is a
limit per task that running workers perform at once. Each worker says every second how many those are; one that is
silent for `SILENCE` seconds does not count.

All of it is one script in Redis, so that no two dispatchers ever see the same capacity left. A reservation lasts until
the dispatcher makes its next one, at most `RESERVATION` seconds: then its dispatcher is taken for dead. One that was
only frozen meanwhile sends its batch beyond the limit, which is the most that can go wrong.

The clock of Redis may be set back. What lies further ahead than it ever can was noted before that: a sign is over, and
a reservation ends as if it had begun now, since its dispatcher may live.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import redis

from labkit.celery_app.application import LEVELS, key_prefix, level_key, redis_py_url
from labkit.parameters import check_methods, checked
from labkit.redis_clock import NOW
from labkit.redis_state import asked, redis_client
from labkit.settings import Settings

#: How long a reservation lasts, in seconds.
RESERVATION = 5.0
#: After so many seconds without a sign, a worker counts as dead, and what it could perform no longer counts.
SILENCE = 5.0
#: How long it is remembered that a worker died, in seconds: see `labkit.celery_app.task_starts`.
REMEMBERED = 24 * 3600.0

# KEYS: unacked, workers' concurrency, workers' last signs, reservations, the priority levels.
# ARGV: dispatcher, wanted, limit per task at once, ms of silence, ms of a reservation, ms for which a death is
# remembered.
_COUNT = (
    NOW
    + """
local waiting = {}
local taken = redis.call('HLEN', KEYS[1])
local unacknowledged = taken
for index = 5, #KEYS do
  waiting[index - 4] = redis.call('LLEN', KEYS[index])
  taken = taken + waiting[index - 4]
end
local function silent(first, last)
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], first, last)) do
    if redis.call('HEXISTS', KEYS[2], worker) == 1 then redis.call('HDEL', KEYS[2], worker) end
  end
end
silent('-inf', now - ARGV[4])
silent('(' .. now + ARGV[4], '+inf')
local processes = 0
for _, worker in ipairs(redis.call('HVALS', KEYS[2])) do processes = processes + string.match(worker, '%d+') end
local reserved = 0
local entries = redis.call('HGETALL', KEYS[4])
for index = 1, #entries, 2 do
  local number, ends = string.match(entries[index + 1], '(%d+) (%d+)')
  if tonumber(ends) <= now then
    redis.call('HDEL', KEYS[4], entries[index])
  elseif entries[index] ~= ARGV[1] then
    reserved = reserved + number
    if tonumber(ends) > now + ARGV[5] then
      redis.call('HSET', KEYS[4], entries[index], string.format('%d %d', number, now + ARGV[5]))
    end
  end
end
local capacity = processes * ARGV[3]
local granted = math.max(0, math.min(tonumber(ARGV[2]), capacity - taken - reserved))
if ARGV[1] ~= '' then
  if granted > 0 then
    redis.call('HSET', KEYS[4], ARGV[1], string.format('%d %d', granted, now + ARGV[5]))
  else
    redis.call('HDEL', KEYS[4], ARGV[1])
  end
end
-- at the end, since a script that has begun to write is not refused any more when Redis is full
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - ARGV[6])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '(' .. now + ARGV[6], '+inf')
return {granted, unacknowledged, processes, reserved, waiting}
"""
)


class Count(NamedTuple):
    """Celery's queue at one moment.

    `granted`: how many may be sent now. `waiting`: per priority level. `unacknowledged`: taken by workers and not
    finished. `reserved`: by other dispatchers. `concurrency`: how many tasks all running workers perform at once.
    """

    granted: int
    unacknowledged: int
    concurrency: int
    reserved: int
    waiting: tuple[int, ...]
    limit: int

    @property
    def taken(self) -> int:
        """What fills the queue."""
        return sum(self.waiting) + self.unacknowledged + self.reserved

    @property
    def capacity(self) -> int:
        """How much may fill it."""
        return self.concurrency * self.limit


@check_methods
class Capacity:
    """The room in the queue of one Celery application. `limit` is how many tasks may be taken per task at once.

    `dispatcher` names who reserves. Every call may raise `RedisUnreachable` and `RedisRefused`.
    """

    def __init__(self, client: redis.Redis, settings: Settings, *, dispatcher: str = "", limit: int = 1) -> None:
        prefix = key_prefix(settings)
        self._prefix = prefix
        self._client = client
        self._dispatcher = dispatcher
        self._limit = limit
        self._keys = [
            f"{prefix}unacked",
            workers_key(prefix),
            signs_key(prefix),
            f"{prefix}reserved",
            *(level_key(prefix, level) for level in range(LEVELS)),
        ]
        self._script = client.register_script(_COUNT)

    def reserve(self, wanted: int) -> Count:
        """Count, and reserve up to `wanted` places; what was reserved before is free again."""
        return self._ask(self._dispatcher, wanted)

    def count(self) -> Count:
        """Count, and reserve nothing."""
        return self._ask("", 0)

    def _ask(self, dispatcher: str, wanted: int) -> Count:
        times = (round(seconds * 1000) for seconds in (SILENCE, RESERVATION, REMEMBERED))
        arguments: list[str | int] = [dispatcher, wanted, self._limit, *times]
        with asked(f"Celery's queue could not be counted at {self._prefix}*"):
            found: Any = self._script(keys=self._keys, args=arguments)
        granted, unacknowledged, concurrency, reserved, waiting = found
        return Count(granted, unacknowledged, concurrency, reserved, tuple(waiting), self._limit)


class Presence:
    """Says in Redis that a worker runs. `name` is Celery's name of the worker, which another one may bear as well;
    `run` is of this one alone, by default its name.
    """

    def __init__(self, client: redis.Redis, settings: Settings, name: str, *, run: str | None = None) -> None:
        prefix = key_prefix(settings)
        self._client = client
        self._workers, self._signs = workers_key(prefix), signs_key(prefix)
        self._name = name
        self._run = run or name

    def say(self, concurrency: int) -> None:
        """The worker lives and performs so many tasks at once."""
        with self._asked(), self._client.pipeline() as pipe:
            seconds, micros = self._now()
            pipe.hset(self._workers, self._run, f"{concurrency} {self._name}")
            pipe.zadd(self._signs, {self._run: seconds * 1000 + micros // 1000})
            pipe.execute()

    def leave(self) -> None:
        """The worker ends."""
        with self._asked(), self._client.pipeline() as pipe:
            pipe.hdel(self._workers, self._run)
            pipe.zrem(self._signs, self._run)
            pipe.execute()

    def _asked(self) -> AbstractContextManager[None]:
        return asked(f"That this worker runs could not be said at {self._workers} and {self._signs}")

    def _now(self) -> tuple[int, int]:
        found: Any = self._client.time()  # the clock of Redis is the only one that all share
        return int(found[0]), int(found[1])


def running_workers(client: redis.Redis, settings: Settings) -> dict[str, int]:
    """How many tasks the workers that have given a sign lately perform at once, by their names.

    Raises `RedisUnreachable` and `RedisRefused`.
    """
    key = workers_key(key_prefix(settings))
    with asked(f"The workers could not be read from {key}"):
        found: Any = client.hvals(key)
    workers: dict[str, int] = {}
    for concurrency, name in sorted((value.decode().split(" ", 1) for value in found), key=lambda one: one[1]):
        workers[name] = workers.get(name, 0) + int(concurrency)
    return workers


def workers_key(prefix: str) -> str:
    """The name of the hash of the workers' concurrency and names, by their runs."""
    return f"{prefix}workers"


def signs_key(prefix: str) -> str:
    """The name of the sorted set of the last signs of the workers' runs, in ms by the clock of Redis.

    One that has ended in order is not in it; one that has died stays for `REMEMBERED` seconds.
    """
    return f"{prefix}signs"


@checked
def connect(url: str) -> redis.Redis:
    """A client for the Redis at this URL, for threads to share."""
    return redis_client(redis_py_url(url))
