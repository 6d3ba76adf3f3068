"""What Redis does in one step, in Lua. Bytes of a row beyond the first ARGV[1] stay where they are."""

READ = """
local rows = redis.call('HMGET', KEYS[1], unpack(ARGV, 2))
for place, row in ipairs(rows) do
  if row and #row > tonumber(ARGV[1]) then rows[place] = string.sub(row, 1, tonumber(ARGV[1])) end
end
return rows
"""
"""KEYS: replies. ARGV: a size, keys of rows. Returns the rows."""

ADD = """
local there = {}
for place = 2, #ARGV, 2 do
  local added = redis.call('HSETNX', KEYS[1], ARGV[place], ARGV[place + 1]) == 1
  local row = not added and redis.call('HGET', KEYS[1], ARGV[place])
  there[place / 2] = row and string.sub(row, 1, tonumber(ARGV[1]))
end
return there
"""
"""KEYS: replies. ARGV: a size, then key and row by turns. Returns what was there already."""

QUARANTINE = """
for place = 2, #ARGV, 2 do
  local row = redis.call('HGET', KEYS[1], ARGV[place])
  if row and string.sub(row, 1, tonumber(ARGV[1])) == ARGV[place + 1] then
    redis.call('HSET', KEYS[2], ARGV[place] .. ':' .. redis.sha1hex(row), row)
    redis.call('HDEL', KEYS[1], ARGV[place])
  end
end
"""
"""KEYS: replies, quarantine. ARGV: a size, then key and row by turns."""

DELETE = """
for place = 2, #ARGV, 2 do
  local row = redis.call('HGET', KEYS[1], ARGV[place])
  if row and string.sub(row, 1, tonumber(ARGV[1])) == ARGV[place + 1] then
    redis.call('HDEL', KEYS[1], ARGV[place])
  end
end
"""
"""KEYS: replies. ARGV: a size, then key and row by turns."""

CLEAR = """
local count = redis.call('HLEN', KEYS[1])
redis.call('UNLINK', KEYS[1])
return count
"""
"""KEYS: a hash. Returns how many fields it had."""

REPLACE = """
for place = 2, #ARGV, 3 do
  local row = redis.call('HGET', KEYS[1], ARGV[place])
  if row and string.sub(row, 1, tonumber(ARGV[1])) == ARGV[place + 1] then
    redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 2])
  end
end
"""
"""KEYS: replies. ARGV: a size, then key, row that is there and row to write, by turns."""

REGISTER = """
local there = redis.call('GET', KEYS[1]) or ''
for check in string.gmatch(there, '%S+') do
  local known = false
  for _, mine in ipairs(ARGV) do known = known or mine == check end
  if not known then return there end
end
if #ARGV > 0 and not string.find(there, ARGV[1], 1, true) then
  there = there .. ' ' .. ARGV[1]
  redis.call('SET', KEYS[1], there)
end
return there
"""
"""KEYS: check values. ARGV: one's own, of which the first is added unless there is another. Returns what is there."""

SCAN = """
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local keys = {}
for place = 1, #page[2], 2 do keys[#keys + 1] = page[2][place] end
return {page[1], keys}
"""
"""KEYS: replies. ARGV: a cursor, about how many. Returns the next cursor and keys of rows."""

LOCK = """
local got = {}
for place, lease in ipairs(KEYS) do
  local owner = redis.call('GET', lease)
  got[place] = 0
  if not owner or owner == ARGV[1] then
    redis.call('SET', lease, ARGV[1], 'PX', ARGV[2])
    got[place] = 1
  end
end
return got
"""
"""KEYS: leases. ARGV: the owner's token, milliseconds. Returns 1 for each that the owner has now."""

UNLOCK = """
for _, lease in ipairs(KEYS) do
  if redis.call('GET', lease) == ARGV[1] then redis.call('DEL', lease) end
end
"""
"""KEYS: leases. ARGV: the owner's token."""
