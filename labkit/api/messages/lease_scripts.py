"""The scripts in Redis that give messages out and take them back.

Each is one step for all processes, and may be sent again when its answer was lost. `names` tells what they work on.
They use nothing newer than Redis 6.2.
"""

from __future__ import annotations

from labkit.redis_clock import NOT_AFTER, NOW

# What a group has is kept for a while after the last sign of it. `pos` goes first: without it the group is not known,
# and what is left of it is passed over.
KEEP = """
local function keep(base, kept)
  for _, name in ipairs({'ready', 'returned', 'held', 'counts', 'leases', 'tokens', 'dying'}) do
    redis.call('PEXPIRE', base .. name, kept + 3600000)
  end
  for _, partition in ipairs(redis.call('HKEYS', base .. 'pos')) do
    redis.call('PEXPIRE', base .. 'open:' .. partition, kept + 3600000)
  end
  redis.call('PEXPIRE', base .. 'pos', kept)
end
"""

# --- leases

# Of a lease, the token is known by the id, and the id by the token; of all leases that go on, how long the longest was
# given for, since each process has its own setting.
_UNLEASE = """
local function unlease(base, id)
  local token = redis.call('HGET', base .. 'tokens', id)
  redis.call('ZREM', base .. 'leases', id)
  if token then redis.call('HDEL', base .. 'tokens', id, token) end
  if redis.call('EXISTS', base .. 'leases') == 0 then redis.call('DEL', base .. 'tokens') end
end
"""

# Puts back what was leased and not acknowledged in time, behind what came back before; what was delivered too often
# dies. Of more than a hundred those whose leases ended first, so that the next look goes on where this one ends.
_EXPIRE = (
    _UNLEASE
    + NOT_AFTER
    + """
local function put_back(base, id, most)
  unlease(base, id)
  local dies = tonumber(redis.call('HGET', base .. 'counts', id) or '0') >= tonumber(most)
  local list = base .. (dies and 'dying' or 'returned')
  redis.call('RPUSH', list, id)
  local kept = redis.call('PTTL', base .. 'pos')
  if kept > 0 then redis.call('PEXPIRE', list, kept + 3600000) end -- it may be new, and nobody there who keeps it
end
local function waiting(base) return redis.call('LLEN', base .. 'returned') + redis.call('LLEN', base .. 'ready') end
local function expire(base, most)
  if redis.call('EXISTS', base .. 'pos') == 0 then return 0 end
  local longest = redis.call('HGET', base .. 'tokens', 'longest')
  if longest then not_after(base .. 'leases', now + longest) end
  local over = redis.call('ZRANGEBYSCORE', base .. 'leases', '-inf', now, 'LIMIT', 0, 100)
  for _, id in ipairs(over) do put_back(base, id, most) end
  return #over
end
"""
)

# KEYS: log, groups. ARGV: base of the queue, prefix of messages, group, ms of a lease, most deliveries, token, ms that
# a group is kept.
# The id, its record, how often it was delivered, when the lease ends, how many more are ready; or, if none is ready, 1
# where records are known that were not fed yet, else 0; 2 if it is not known what is on the topic. With the token of a
# lease that goes on, what was leased by it is given out again: its answer was lost.
TAKE = (
    NOW
    + KEEP
    + _EXPIRE
    + """
local base = ARGV[1]
redis.call('ZADD', KEYS[2], now, ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[7])
expire(base, ARGV[5])
local function delivery(id, count)
  local over = tonumber(redis.call('ZSCORE', base .. 'leases', id))
  return {id, redis.call('HGET', base .. 'held', id), count, over, waiting(base)}
end
local leased = redis.call('EXISTS', base .. 'pos') == 1 and redis.call('HGET', base .. 'tokens', ARGV[6])
if leased and tonumber(redis.call('ZSCORE', base .. 'leases', leased) or '0') > now then
  return delivery(leased, tonumber(redis.call('HGET', base .. 'counts', leased)))
end
local is_known = redis.call('EXISTS', base .. 'pos') == 1
local id = is_known and (redis.call('LPOP', base .. 'returned') or redis.call('LPOP', base .. 'ready'))
if not id then
  if redis.call('HEXISTS', KEYS[1], 'indexed') == 0 then return 2 end
  local entries = redis.call('HGETALL', KEYS[1])
  for index = 1, #entries, 2 do
    local partition = string.match(entries[index], '^e(%d+)$')
    if partition then
      local reached = redis.call('HGET', base .. 'pos', partition)
      if not reached or tonumber(reached) < tonumber(entries[index + 1]) then return 1 end
    end
  end
  return 0
end
local count = redis.call('HINCRBY', base .. 'counts', id, 1)
local longest = math.max(ARGV[4], redis.call('HGET', base .. 'tokens', 'longest') or 0)
redis.call('HSET', base .. 'tokens', id, ARGV[6], ARGV[6], id, 'longest', longest)
redis.call('ZADD', base .. 'leases', now + ARGV[4], id)
keep(base, ARGV[7])
local key = ARGV[2] .. id
if redis.call('EXISTS', key) == 1 then redis.call('HSET', key, 'n:' .. ARGV[3], count, 'd:' .. ARGV[3], now) end
return delivery(id, count)
"""
)

# 1: done, now or before; 0: the lease is not this one or is over; -1: there is no such message.
_HAS_LEASE = """
local function lease(base, key, id, token, done)
  if redis.call('EXISTS', base .. 'pos') == 1 and redis.call('HGET', base .. 'tokens', id) == token then
    return tonumber(redis.call('ZSCORE', base .. 'leases', id)) > now and 'ours' or 0
  end
  local before = redis.call('HGET', key, done)
  if before and string.match(before, '%S+$') == token then return 1 end
  return (redis.call('EXISTS', key) == 1 or redis.call('HEXISTS', base .. 'held', id) == 1) and 0 or -1
end
local function let_go(base, id)
  local record = redis.call('HGET', base .. 'held', id)
  if record then redis.call('ZREM', base .. 'open:' .. string.match(record, '^%d+'), id) end
  redis.call('HDEL', base .. 'held', id)
  redis.call('HDEL', base .. 'counts', id)
end
"""

# ARGV: base of the queue, prefix of messages, group, id, token.
ACK = (
    NOW
    + _UNLEASE
    + _HAS_LEASE
    + """
local base, key = ARGV[1], ARGV[2] .. ARGV[4]
local found = lease(base, key, ARGV[4], ARGV[5], 'a:' .. ARGV[3])
if found ~= 'ours' then return found end
unlease(base, ARGV[4])
let_go(base, ARGV[4])
if redis.call('EXISTS', key) == 1 then redis.call('HSET', key, 'a:' .. ARGV[3], now .. ' ' .. ARGV[5]) end
return 1
"""
)

# ARGV: base of the queue, prefix of messages, group, id, token, most deliveries, channel, what to say there, ms that a
# group is kept.
NACK = (
    NOW
    + KEEP
    + _EXPIRE
    + _HAS_LEASE
    + """
local base, key = ARGV[1], ARGV[2] .. ARGV[4]
local found = lease(base, key, ARGV[4], ARGV[5], 'k:' .. ARGV[3])
if found ~= 'ours' then return found end
put_back(base, ARGV[4], ARGV[6])
keep(base, ARGV[9])
if redis.call('EXISTS', key) == 1 then redis.call('HSET', key, 'k:' .. ARGV[3], ARGV[5]) end
redis.call('PUBLISH', ARGV[7], ARGV[8])
return 1
"""
)

# --- what the feeder does besides

# KEYS: feeder. ARGV: base of the queue, who feeds, ms of its claim, most deliveries, channel, what to say there, ms
# that a group is kept.
# false: another one feeds. Else how many are ready; the dying, each with its record and its deliveries; and per
# partition the offset before which everything is acknowledged.
TEND = (
    NOW
    + KEEP
    + _EXPIRE
    + """
local base = ARGV[1]
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return false end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
keep(base, ARGV[7])
if expire(base, ARGV[4]) > 0 then redis.call('PUBLISH', ARGV[5], ARGV[6]) end
local dying = {}
for _, id in ipairs(redis.call('LRANGE', base .. 'dying', 0, 49)) do
  dying[#dying + 1] = {id, redis.call('HGET', base .. 'held', id), redis.call('HGET', base .. 'counts', id)}
end
local settled, places = {}, redis.call('HGETALL', base .. 'pos')
for index = 1, #places, 2 do
  local first = redis.call('ZRANGE', base .. 'open:' .. places[index], 0, 0, 'WITHSCORES')
  settled[#settled + 1] = places[index]
  settled[#settled + 1] = first[2] or places[index + 1]
end
return {waiting(base), dying, settled}
"""
)

# ARGV: base of the queue, prefix of messages, group, ids: they are dead letters now.
DEAD_LETTERED = (
    NOW
    + _HAS_LEASE
    + """
local base = ARGV[1]
for index = 4, #ARGV do
  if redis.call('LREM', base .. 'dying', 1, ARGV[index]) == 1 then
    let_go(base, ARGV[index])
    local key = ARGV[2] .. ARGV[index]
    if redis.call('EXISTS', key) == 1 then redis.call('HSET', key, 'x:' .. ARGV[3], now) end
  end
end
return 1
"""
)

# ARGV: base of the queue, ids: their letters are refused, and others come first. A list that is empty for a moment
# would be a new one, which has no end.
PUT_OFF = """
for index = 2, #ARGV do
  if redis.call('LPOS', ARGV[1] .. 'dying', ARGV[index]) then
    redis.call('RPUSH', ARGV[1] .. 'dying', ARGV[index])
    redis.call('LREM', ARGV[1] .. 'dying', 1, ARGV[index])
  end
end
return 1
"""

# KEYS: feeder. ARGV: who feeds.
RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""

# KEYS: log, groups. ARGV: base of the topic, ms after which a group is at rest, ms that a group is kept, most
# deliveries. Of groups that nobody polls or feeds, only the place from which they read on is kept; what they have
# acknowledged beyond it, the messages know. Those that poll no more at all are forgotten. How many were put to rest.
REST = (
    NOW
    + _EXPIRE
    + """
redis.call('PEXPIRE', KEYS[1], ARGV[3])
not_after(KEYS[2], now)
local rested = 0
for _, group in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[2])) do
  local base = ARGV[1] .. 'q:' .. group .. ':'
  expire(base, ARGV[4])
  local busy = redis.call('EXISTS', base .. 'feeder', base .. 'leases', base .. 'dying')
  if busy == 0 and redis.call('EXISTS', base .. 'held', base .. 'ready') > 0 then
    local places = redis.call('HGETALL', base .. 'pos')
    for index = 1, #places, 2 do
      local open = base .. 'open:' .. places[index]
      local first = redis.call('ZRANGE', open, 0, 0, 'WITHSCORES')
      if first[2] then redis.call('HSET', base .. 'pos', places[index], first[2]) end
      redis.call('DEL', open)
    end
    redis.call('DEL', base .. 'ready', base .. 'returned', base .. 'held', base .. 'counts', base .. 'tokens')
    redis.call('PEXPIRE', base .. 'pos', ARGV[3])
    rested = rested + 1
  end
  if redis.call('EXISTS', base .. 'pos') == 0 then redis.call('ZREM', KEYS[2], group) end
end
return rested
"""
)

# --- lag

# KEYS: log, groups. ARGV: base of the topic, ms after which a group counts as gone.
# The groups that polled lately count, or else the one that polled last; if none ever did, everything there is.
# After the lag comes where each partition ended when it was counted: partition, end.
LAG = (
    NOW
    + """
local names = redis.call('ZRANGEBYSCORE', KEYS[2], now - ARGV[2], '+inf')
if #names == 0 then names = redis.call('ZREVRANGE', KEYS[2], 0, 0) end
local entries = redis.call('HGETALL', KEYS[1])
local starts, ends = {}, {}
for index = 1, #entries, 2 do
  local sort, partition = string.match(entries[index], '^([es])(%d+)$')
  if sort == 'e' then ends[partition] = tonumber(entries[index + 1]) end
  if sort == 's' then starts[partition] = tonumber(entries[index + 1]) end
end
local function behind(base)
  local lag = base and redis.call('HLEN', base .. 'held') or 0
  for partition, last in pairs(ends) do
    local reached = base and redis.call('HGET', base .. 'pos', partition)
    lag = lag + math.max(0, last - tonumber(reached or starts[partition] or 0))
  end
  return lag
end
local most = #names == 0 and behind(nil) or 0
for _, name in ipairs(names) do most = math.max(most, behind(ARGV[1] .. 'q:' .. name .. ':')) end
local answer = {most}
for partition, last in pairs(ends) do
  answer[#answer + 1] = tonumber(partition)
  answer[#answer + 1] = last
end
return answer
"""
)
