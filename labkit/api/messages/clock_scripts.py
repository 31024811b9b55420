"""The clock of Redis, for the scripts: the only one that all processes share.

It may be set back. What lies further ahead than it ever can was noted before that, and would be waited for that long.
"""

from __future__ import annotations

NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# None of a sorted set lies further ahead than this. What did ends no sooner than if it began now: its owner may live.
NOT_AFTER = """
local function not_after(key, latest)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. latest, '+inf', 'LIMIT', 0, 1000)) do
    redis.call('ZADD', key, latest, member)
  end
end
"""
