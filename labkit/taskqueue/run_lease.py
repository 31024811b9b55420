"""A lease in Redis: of all deliveries of one task, one at a time may run the handler, until one of them is done.

    no key  --begin-->  run:<token>, for `lease` seconds  --finish-->  done:<token>, for `ttl` seconds
       ^------------------- give back, or not renewed in time

The lease is short and renewed while the handler runs. A fixed one would have to be longer than the slowest handler,
and a task whose worker was killed would wait that long. Every step is one script, so that it is atomic, and names its
run by a random token, as in https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/: a run that was
stopped for longer than its lease finds another's token and leaves the key alone. Each script may be sent again when
its answer was lost. redis-py's own `Lock` is not enough here: to check the token and to leave the mark is one step.

A run that ends while Redis is away has had its effect. Its mark is kept here and made as soon as Redis is back.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from functools import cache
from typing import Any
from uuid import uuid4

import redis

from labkit.errors import LeaseLost, RedisRefused, RedisUnreachable
from labkit.lab.lab import attach_lab
from labkit.logs.safe_logger import safe_logger
from labkit.outage import Outage
from labkit.redis_state import Refusals, asked, redis_client
from labkit.settings import load_settings

log = safe_logger("labkit.worker")

#: How long an answer may take, in seconds: the attempt at a task waits for it, and may be limited in time itself.
LEASE_ANSWER_TIMEOUT = 1.0

# A lease that would last longer than it was taken for was taken before the clock of Redis was set back.
_BEGIN = """
local found = redis.call('GET', KEYS[1])
if found and found ~= 'run:' .. ARGV[1] then
  local lease = tonumber(string.match(found, '^run:%S+ (%d+)$'))
  if lease and redis.call('PTTL', KEYS[1]) > lease then redis.call('PEXPIRE', KEYS[1], lease) end
  return string.sub(found, 1, 5) == 'done:' and 2 or 1
end
redis.call('SET', KEYS[1], 'run:' .. ARGV[1], 'PX', ARGV[2])
return 0
"""

# Without a key nobody else runs: Redis was away for longer than the lease, which is taken again.
_RENEW = """
local found = redis.call('GET', KEYS[1])
if found and found ~= 'run:' .. ARGV[1] then return 0 end
redis.call('SET', KEYS[1], 'run:' .. ARGV[1], 'PX', ARGV[2])
return 1
"""

# Without a key nobody else runs: the lease ended, but the effect is there, and is marked so that it stays the only one.
_FINISH = """
local found = redis.call('GET', KEYS[1])
if found and found ~= 'run:' .. ARGV[1] and found ~= 'done:' .. ARGV[1] then return 0 end
redis.call('SET', KEYS[1], 'done:' .. ARGV[1], 'PX', ARGV[2])
return 1
"""

_GIVE_BACK = """
if redis.call('GET', KEYS[1]) ~= 'run:' .. ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class RunState(IntEnum):
    """What became of an attempt to begin."""

    BEGUN, IN_PROGRESS, DONE = range(3)


class RunLease:
    """The claim of one run on one key; `lease` and `ttl` in seconds. Every call may raise `RedisUnreachable`, and
    `RedisRefused` where the key is another program's.
    """

    def __init__(self, client: redis.Redis, key: str, *, lease: float, ttl: float) -> None:
        self.key = key
        #: names the run, and says its lease in ms; one whose beginning was not answered may stand in Redis already, and
        #: be begun again by it
        self.token = f"{uuid4().hex} {round(lease * 1000)}"
        self._client = client
        self._lease_ms = round(lease * 1000)
        self._ttl_ms = round(ttl * 1000)

    def begin(self) -> RunState:
        """Take the lease if nobody has it and the work is not done."""
        return RunState(self._eval(_BEGIN, self._lease_ms))

    def renew(self) -> bool:
        """Let the lease begin anew; False if it is no longer ours."""
        return bool(self._eval(_RENEW, self._lease_ms))

    def finish(self) -> None:
        """Mark the work as done; raises `LeaseLost` if another run has taken over meanwhile."""
        if not self._eval(_FINISH, self._ttl_ms):
            raise LeaseLost

    def give_back(self) -> None:
        """The work failed: the next run may begin at once."""
        self._eval(_GIVE_BACK)

    def _eval(self, script: str, *times: int) -> Any:
        try:
            with asked(f"The lease {self.key} could not be looked at"):
                return self._client.eval(script, 1, self.key, self.token, *times)
        except RedisUnreachable:
            connect_redis.cache_clear()  # a lab that was started again may be found elsewhere
            raise


class LeaseRenewal:
    """Keeps the leases of this process, and makes the marks that could not be made; from one thread, which ends when
    there are none. `interval` is in seconds.
    """

    def __init__(self, interval: float, outage: Outage) -> None:
        self._interval = interval
        self._outage = outage
        self._refusals = Refusals(log)
        self._running: set[RunLease] = set()
        #: the runs that have had their effect, by their keys, and whose mark is missing
        self._unmarked: dict[str, RunLease] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def renewing(self, lease: RunLease) -> Iterator[None]:
        """Inside, the lease is kept."""
        try:
            with self._lock:
                self._running.add(lease)
                self._work_on()
            yield
        finally:
            with self._lock:
                self._running.discard(lease)

    def finish(self, lease: RunLease) -> None:
        """Mark the work as done, now or, if Redis is away, as soon as it is back. Raises `LeaseLost`."""
        try:
            with self._outage.asked(RedisUnreachable):
                lease.finish()
        except RedisUnreachable:
            with self._lock:
                self._unmarked[lease.key] = lease
                self._work_on()
        except RedisRefused as error:  # the effect is there, and a second attempt would bring it twice
            self._refusals.say(error, "a redelivery of this task is not recognised")

    def mark(self, key: str) -> bool:
        """Make the mark of an earlier run, if one is missing; whether there was one. Raises `RedisUnreachable`."""
        lease = self._unmarked.get(key)
        if lease is None:
            return False
        try:
            lease.finish()
        except LeaseLost:
            log.warning("%s: another run has begun before Redis was told that this one was done", key)
        except RedisRefused as error:
            self._refusals.say(error, "a redelivery of this task is not recognised")
        with self._lock:
            self._unmarked.pop(key, None)
        return True

    def _work_on(self) -> None:
        if self._thread is None or not self._thread.is_alive():  # in a forked child it is not
            self._thread = threading.Thread(target=self._work, name="labkit-leases", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        pause = threading.Event().wait
        while True:
            pause(self._interval)
            with self._lock:
                running, unmarked = list(self._running), list(self._unmarked)
                if not running and not unmarked:
                    self._thread = None
                    return
            try:
                for lease in running:  # before the marks, which may be many: a lease that runs out meanwhile is lost
                    self._renew(lease)
                for key in unmarked:
                    self.mark(key)
            except RedisUnreachable as error:
                self._outage.begins(error)
            except Exception as error:  # whatever it is, the leases are to be kept
                if not self._outage.on:
                    log.exception("a lease could not be kept")
                self._outage.begins(error)
            else:
                self._outage.ends()

    def _renew(self, lease: RunLease) -> None:
        try:
            lease.renew()  # one that is lost is noticed when its run finishes
            with self._lock:
                over = lease not in self._running
            if over and lease.key not in self._unmarked:
                lease.give_back()  # it ended while it was renewed; a mark stays
        except RedisRefused as error:  # it holds up no other lease
            self._refusals.say(error, "a run is not known to live, and another may begin")


@cache
def connect_redis(url: str | None) -> tuple[redis.Redis, str]:
    """A client that threads may share, and the prefix for its keys; without a URL, for the Redis of the lab.

    Raises `SettingsError` if the URL is none, and `LabNotRunning`.
    """
    settings = load_settings()
    url = url or settings.redis_url or attach_lab(settings=settings).redis_url
    return redis_client(url, answer_timeout=LEASE_ANSWER_TIMEOUT), settings.topic_prefix
