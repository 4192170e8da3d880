-- Exact sliding windows, one for each quota: a log of what was taken when.
--
-- The value is a hash. `at` is the time, and of each quota `id:first` and `id:next` are the numbers
-- of its oldest record and of the one to come, `id:used` is the sum of its records, and `id:n` is
-- record n: its time and cost. Absent: nothing was taken.
--
-- Arguments for each quota: id, the period in microseconds, the limit, and the most that penalties
-- make of it.
local quotas = {}
for i = 3, #ARGV - 3, 4 do
  quotas[#quotas + 1] = {
    id = ARGV[i],
    period = tonumber(ARGV[i + 1]),
    limit = tonumber(ARGV[i + 2]),
    most = tonumber(ARGV[i + 3]),
  }
end

local function field(quota, name)
  return quota.id .. ':' .. name
end

local function record(quota, number)
  local text = redis.call('HGET', key, field(quota, digits(number)))
  local at, cost = string.match(text or '', '^(%d+) (%d+)$')
  if not whole(at) or not whole(cost) then
    return nil
  end
  return whole(at), whole(cost)
end

local function forget(quota, number)
  redis.call('HDEL', key, field(quota, digits(number)))
end

local function read()
  local at = redis.call('HGET', key, 'at')
  for _, quota in ipairs(quotas) do
    local ends = redis.call(
      'HMGET', key, field(quota, 'first'), field(quota, 'next'), field(quota, 'used'))
    quota.first = ends[1] and whole(ends[1]) or 0
    quota.next = ends[2] and whole(ends[2]) or 0
    quota.used = ends[3] and whole(ends[3]) or 0
  end
  return at and whole(at) or 0
end

-- Drops the records that have left the window. Returns whether all that were there could be read.
local function advance(quota, at)
  while quota.first < quota.next do
    local came_at, cost = record(quota, quota.first)
    if not cost then
      return false
    end
    if came_at + quota.period > at then
      break
    end
    forget(quota, quota.first)
    quota.used = quota.used - cost
    quota.first = quota.first + 1
    quota.changed = true
  end
  return true
end

-- What comes at one time is one record.
local function add(quota, cost, at)
  if cost == 0 then
    return
  end
  local number, came_at, so_far = quota.next, nil, 0
  if quota.next > quota.first then
    came_at, so_far = record(quota, quota.next - 1)
  end
  if came_at == at then
    number, cost = number - 1, cost + so_far
    quota.used = quota.used - so_far
  end
  redis.call('HSET', key, field(quota, digits(number)), digits(at) .. ' ' .. digits(cost))
  quota.used = quota.used + cost
  quota.next = number + 1
  quota.changed = true
end

-- It is not known when it was taken, and what is given back was mostly taken just now.
local function remove(quota, cost)
  while cost > 0 and quota.next > quota.first do
    local number = quota.next - 1
    local came_at, of_it = record(quota, number)
    if not of_it then
      return
    end
    local removed = math.min(of_it, cost)
    if of_it > removed then
      local text = digits(came_at) .. ' ' .. digits(of_it - removed)
      redis.call('HSET', key, field(quota, digits(number)), text)
    else
      forget(quota, number)
      quota.next = number
    end
    cost = cost - removed
    quota.used = quota.used - removed
    quota.changed = true
  end
end

local function decide()
  local room = amount
  for _, quota in ipairs(quotas) do
    room = math.min(room, math.max(quota.limit - quota.used, 0))
  end
  if act == 'take' then
    if room < amount then
      return 0, 0
    end
    return 1, amount
  elseif act == 'most' then
    return room > 0 and 1 or 0, room
  end
  return 1, 0
end

-- When the window is empty: 0 if it is.
local function empty_at(quota)
  if quota.next == quota.first then
    return 0
  end
  return (record(quota, quota.next - 1) or 0) + quota.period
end

-- When there is room for the cost: 0 if there is, -1 if there never is.
local function room_at(quota, cost)
  local too_much = quota.used + cost - quota.limit
  if cost > quota.limit then
    return -1
  end
  local number = quota.first
  local passes_at = 0
  while too_much > 0 and number < quota.next do
    local came_at, of_it = record(quota, number)
    if not of_it then
      break
    end
    passes_at = came_at + quota.period
    too_much = too_much - of_it
    number = number + 1
  end
  return passes_at
end

local function write(at, ahead)
  local changed, longest = false, 0
  for _, quota in ipairs(quotas) do
    if quota.changed then
      changed = true
      redis.call(
        'HSET', key,
        field(quota, 'first'), digits(quota.first),
        field(quota, 'next'), digits(quota.next),
        field(quota, 'used'), digits(quota.used))
    end
    longest = math.max(longest, empty_at(quota) - at)
  end
  if changed and longest > 0 then
    redis.call('HSET', key, 'at', digits(at))
    redis.call('PEXPIRE', key, lifetime(longest + ahead))
  elseif changed then
    redis.call('DEL', key)
  end
end

local stored = read()
local at, ahead = clock(stored)
for _, quota in ipairs(quotas) do
  if not advance(quota, at) then
    return malformed()
  end
end
local admitted, taken = decide()
for _, quota in ipairs(quotas) do
  add(quota, taken, at)
  if act == 'charge' then
    add(quota, math.min(amount, math.max(quota.most - quota.used, 0)), at)
  elseif act == 'back' then
    remove(quota, amount)
  end
end
write(at, ahead)
-- A call that was made asks for nothing more.
local asked = amount
if act == 'most' then
  asked = taken > 0 and 0 or math.min(amount, 1)
elseif act ~= 'look' and admitted == 1 then
  asked = 0
end
local answer = { admitted, taken, at, ahead }
for _, quota in ipairs(quotas) do
  answer[#answer + 1] = quota.used
  answer[#answer + 1] = empty_at(quota)
  answer[#answer + 1] = room_at(quota, asked)
end
return answer
