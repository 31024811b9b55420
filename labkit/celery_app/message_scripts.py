"""The scripts in Redis that take a message for a worker, and that note that it is through with it: each in one step.

The keys are kombu's: a list for each level of a queue, a hash of what is unacknowledged, and an index of it by time.
"""

from __future__ import annotations

#: The name of the bell, after the prefix.
BELL = "bell"

#: The list of what stood in the queue and is no message, after the prefix, and how much of it is kept.
UNREADABLE, MOST_UNREADABLE = "unreadable", 1000

#: For so many seconds a worker has the messages to itself that it puts back, and so many are they at most.
MOST_DUE = 5, 10

# KEYS: unacked, unacked_index, bell, unreadable, the levels in their order. ARGV: how many are kept that are no
# messages. What is noted is what `kombu.transport.redis.QoS.append` would note, but by the clock of Redis. The bell
# rings on for who else waits. What is no message is put aside, and the answer has one part only. A key that holds
# something of another kind is noticed by what only reads, before anything is changed: a script that fails in the middle
# is not undone.
TAKE = """
local function read(message)
  local properties = cjson.decode(message).properties
  local place = properties.delivery_info
  assert(string.match(properties.delivery_tag, '^[%w._-]+$'), 'a message is acknowledged by its tag')
  return properties.delivery_tag .. '', ',' .. cjson.encode(place.exchange) .. ',' .. cjson.encode(place.routing_key)
end
redis.call('HLEN', KEYS[1])
redis.call('ZCARD', KEYS[2])
for index = 5, #KEYS do
  local message = redis.call('LINDEX', KEYS[index], -1)
  if message then
    local is_message, tag, names = pcall(read, message)
    if not is_message then
      redis.call('LPUSH', KEYS[4], redis.call('RPOP', KEYS[index]))
      redis.call('LTRIM', KEYS[4], 0, ARGV[1] - 1)
      return {KEYS[index]}
    end
    local time = redis.call('TIME')
    redis.call('RPOP', KEYS[index])
    redis.call('ZADD', KEYS[2], time[1] .. '.' .. string.format('%06d', time[2]), tag)
    redis.call('HSET', KEYS[1], tag, '[' .. message .. names .. ']')
    for further = index, #KEYS do
      if redis.call('EXISTS', KEYS[further]) == 1 then
        redis.pcall('ZADD', KEYS[3], 0, '')
        return {KEYS[index], message, tag}
      end
    end
    redis.call('DEL', KEYS[3])
    return {KEYS[index], message, tag}
  end
end
redis.call('DEL', KEYS[3])
return false
"""

# KEYS: unacked, unacked_index, bell, the lists that the message goes to. ARGV: its tag; to put it back also what is
# noted of it, how it is pushed, and what to each list. The first two changes need no memory, and where Redis is full a
# script that has changed something is not stopped. What a key of another kind would stop comes before, as in `TAKE`.
# One that is not noted as it was has been put back by somebody else; "" is no note, of which only the index is left.
SETTLE = """
redis.call('HLEN', KEYS[1])
for index = 4, #KEYS do redis.call('LLEN', KEYS[index]) end
if ARGV[2] and (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
for index = 4, #KEYS do
  redis.call(ARGV[3], KEYS[index], ARGV[index])
  redis.pcall('ZADD', KEYS[3], 0, '')
end
return 1
"""


# KEYS: unacked_index. ARGV: the visibility time-out in seconds, and `MOST_DUE`. The tags that are due, each for one
# worker: it is due again when that one has not put it back in time, since it was killed. What lies ahead was noted
# before the clock was set back, and counts as if it was noted now.
DUE = """
local time = redis.call('TIME')
local now, timeout = time[1] + time[2] / 1000000, tonumber(ARGV[1])
for _, tag in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now + 1, '+inf', 'LIMIT', 0, 1000)) do
  redis.call('ZADD', KEYS[1], now, tag)
end
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - timeout, 'LIMIT', 0, ARGV[3])
for _, tag in ipairs(due) do redis.call('ZADD', KEYS[1], now - timeout + math.min(ARGV[2], timeout), tag) end
return due
"""


class Pushes(list[tuple[str, str, str]]):
    """In place of a pipeline: what kombu pushes, where to, and how."""

    def lpush(self, key: str, message: str) -> None:
        """To its one end."""
        self.append(("LPUSH", key, message))

    def rpush(self, key: str, message: str) -> None:
        """To its other end."""
        self.append(("RPUSH", key, message))
