"""The scripts in Redis that reserve messages and feed the queues.

Each is one step for all processes, and may be sent again when its answer was lost. `names` tells what they work on.
They use nothing newer than Redis 6.2.
"""

from __future__ import annotations

from labkit.api.messages.lease_scripts import KEEP
from labkit.redis_clock import NOW

# --- reservations

# KEYS: log. ARGV: prefix of messages, owner, ms of a reservation, ms that ids are kept, ids.
# Per id: q (queued), w (in work elsewhere), n (new, reserved), or the floor (reserved by taking over): the ends of the
# partitions that were known when the first reservation was made. Whatever was produced since is beyond them.
# Who finds its own reservation had no answer to its last call, and takes over from itself. One that lasts longer than
# any was made before the clock was set back, and ends as if it was made now: its owner may live.
RESERVE = (
    NOW
    + """
if redis.call('HEXISTS', KEYS[1], 'indexed') == 0 then return false end
local floor
local function ends()
  if not floor then
    local known, entries = {}, redis.call('HGETALL', KEYS[1])
    for index = 1, #entries, 2 do
      local partition = string.match(entries[index], '^e(%d+)$')
      if partition then known[partition] = tonumber(entries[index + 1]) end
    end
    floor = cjson.encode(known)
  end
  return floor
end
local answers = {}
for index = 5, #ARGV do
  local key = ARGV[1] .. ARGV[index]
  local found = redis.call('HMGET', key, 'offset', 'until', 'owner', 'floor')
  local answer
  if found[1] then
    answer = 'q'
  elseif not found[2] then
    redis.call('HSET', key, 'owner', ARGV[2], 'until', now + ARGV[3], 'floor', ends(), 'accepted', now)
    redis.call('PEXPIRE', key, ARGV[4])
    answer = 'n'
  elseif tonumber(found[2]) > now and found[3] ~= ARGV[2] then
    if tonumber(found[2]) > now + ARGV[3] then redis.call('HSET', key, 'until', now + ARGV[3]) end
    answer = 'w'
  else
    redis.call('HSET', key, 'owner', ARGV[2], 'until', now + ARGV[3])
    answer = found[4]
  end
  answers[#answers + 1] = answer
end
return answers
"""
)

# ARGV: prefix of messages, owner, ms from now until the reservation ends, ids.
HOLD = (
    NOW
    + """
for index = 4, #ARGV do
  local key = ARGV[1] .. ARGV[index]
  if redis.call('HGET', key, 'owner') == ARGV[2] then redis.call('HSET', key, 'until', now + ARGV[3]) end
end
return 1
"""
)

# What is known of a message's place: the first one that anybody tells stays.
_PLACE = """
local function place(key, kept, partition, offset)
  local found = redis.call('HMGET', key, 'partition', 'offset')
  if found[2] then return found[1] == partition and found[2] == offset end
  redis.call('HSET', key, 'partition', partition, 'offset', offset, 'queued', now)
  redis.call('HDEL', key, 'owner', 'until', 'floor')
  if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, kept) end
  return true
end
local function reach(log, partition, next)
  local known = redis.call('HGET', log, 'e' .. partition)
  if not known or tonumber(known) < next then redis.call('HSET', log, 'e' .. partition, next) end
end
"""

# KEYS: log. ARGV: prefix of messages, ms that ids are kept, then id, partition, offset.
MARK = (
    NOW
    + _PLACE
    + """
for index = 3, #ARGV, 3 do
  place(ARGV[1] .. ARGV[index], ARGV[2], ARGV[index + 1], ARGV[index + 2])
  reach(KEYS[1], ARGV[index + 1], ARGV[index + 2] + 1)
end
return 1
"""
)

# --- feeding

# KEYS: log, feeder. ARGV: base of the queue, prefix of messages, group, ms that ids are kept, channel, what to say
# there, ms that a group is kept, partition, where to read on, then offset, id, record.
# -1: it is not known where the group is. Records before that place were fed before. A record of a message that was
# seen elsewhere first is passed over, unless it is a dead letter of this group that was replayed; and one that the
# group has settled, before it was put to rest and came back.
FEED = (
    NOW
    + KEEP
    + _PLACE
    + """
local base, partition = ARGV[1], ARGV[8]
local reached = tonumber(redis.call('HGET', base .. 'pos', partition) or '-1')
if reached < 0 then return -1 end
local function is_due(key, offset)
  if not place(key, ARGV[4], partition, offset) then return redis.call('HDEL', key, 'x:' .. ARGV[3]) == 1 end
  return redis.call('HEXISTS', key, 'a:' .. ARGV[3]) == 0 and redis.call('HEXISTS', key, 'x:' .. ARGV[3]) == 0
end
local fed = 0
for index = 10, #ARGV, 3 do
  local offset, id = ARGV[index], ARGV[index + 1]
  local key = ARGV[2] .. id
  if tonumber(offset) >= reached and is_due(key, offset) then
    local before = redis.call('HMGET', key, 'n:' .. ARGV[3], 'offset')
    if before[1] and before[2] == offset then redis.call('HSET', base .. 'counts', id, before[1]) end
    redis.call('RPUSH', base .. 'ready', id)
    redis.call('HSET', base .. 'held', id, partition .. ' ' .. ARGV[index + 2])
    redis.call('ZADD', base .. 'open:' .. partition, offset, id)
    fed = fed + 1
  end
end
if tonumber(ARGV[9]) > reached then
  redis.call('HSET', base .. 'pos', partition, ARGV[9])
  reach(KEYS[1], partition, tonumber(ARGV[9]))
  redis.call('PUBLISH', ARGV[5], ARGV[6])
end
keep(base, ARGV[7])
return fed
"""
)

# ARGV: base of the queue, ms that a group is kept, then partition, where the group is by Kafka. The places that hold,
# in that order. Of a group whose place is not known, nothing is left that would still hold.
BEGIN = (
    KEEP
    + """
local places = {}
if redis.call('EXISTS', ARGV[1] .. 'pos') == 0 then
  for _, name in ipairs({'ready', 'returned', 'held', 'counts', 'leases', 'tokens', 'dying'}) do
    redis.call('DEL', ARGV[1] .. name)
  end
  for index = 3, #ARGV, 2 do redis.call('DEL', ARGV[1] .. 'open:' .. ARGV[index]) end
end
for index = 3, #ARGV, 2 do
  redis.call('HSETNX', ARGV[1] .. 'pos', ARGV[index], ARGV[index + 1])
  places[#places + 1] = tonumber(redis.call('HGET', ARGV[1] .. 'pos', ARGV[index]))
end
keep(ARGV[1], ARGV[2]) -- its feeder may die before it says for the first time that it is there
return places
"""
)
