"""The clock of Redis: the only one that all processes share.

It may be set back. What lies further ahead than it ever can was noted before that, and would be waited for that long.
"""

from __future__ import annotations

from typing import Any

import redis

# For a script: `now`, in ms.
NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# For a script: none of a sorted set lies further ahead than this. What did ends no sooner than if it began now: its
# owner may live.
NOT_AFTER = """
local function not_after(key, latest)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. latest, '+inf', 'LIMIT', 0, 1000)) do
    redis.call('ZADD', key, latest, member)
  end
end
"""


def last_at_most(client: redis.Redis, key: str, seconds: float) -> None:
    """Shorten the life of a key that would last longer than it was given: the clock of Redis was set back since then.

    Raises as redis-py does.
    """
    left: Any = client.pttl(key)
    if left > seconds * 1000:
        client.pexpire(key, round(seconds * 1000))
