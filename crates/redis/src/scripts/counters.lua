-- Sliding windows of counters, one window for each quota: the bucket that runs, and as many before
-- it as make a period, of which the oldest fades as if what it counts had come in evenly.
--
-- The value: the time, and for each quota `id:index=count,index=count,`, where a bucket has the
-- index of its time. Absent: nothing was taken.
--
-- Arguments for each quota: id, the length of a bucket in microseconds, how many are a period, the
-- limit, and the most that penalties make of it.
local quotas = {}
for i = 3, #ARGV - 4, 5 do
  quotas[#quotas + 1] = {
    id = ARGV[i],
    length = tonumber(ARGV[i + 1]),
    buckets = tonumber(ARGV[i + 2]),
    limit = tonumber(ARGV[i + 3]),
    most = tonumber(ARGV[i + 4]),
    counts = {},
  }
end

local function read()
  local value = redis.call('GET', key)
  if not value then
    return 0
  end
  local at, stored = whole(string.match(value, '^%S+')), {}
  for id, counts in string.gmatch(value, ' ([^:%s]+):(%S+)') do
    stored[id] = counts
  end
  for _, quota in ipairs(quotas) do
    for index, count in string.gmatch(stored[quota.id] or '', '(%d+)=(%d+)') do
      if not whole(index) or not whole(count) then
        return nil
      end
      quota.counts[whole(index)] = whole(count)
    end
  end
  return at
end

-- Forgets what has left the window, and counts what is in it, rounded up.
local function advance(quota, at)
  quota.index = math.floor(at / quota.length)
  local oldest, used = quota.index - quota.buckets, 0
  for index, count in pairs(quota.counts) do
    if index < oldest then
      quota.counts[index] = nil
    elseif index > oldest then
      used = used + count
    end
  end
  local fading = quota.counts[oldest]
  if fading then
    local left = quota.length - (at - quota.index * quota.length)
    local faded, rest = muldiv(fading, left, quota.length)
    used = used + faded + (rest > 0 and 1 or 0)
  end
  quota.used = used
end

local function add(quota, cost)
  if cost > 0 then
    quota.counts[quota.index] = (quota.counts[quota.index] or 0) + cost
  end
end

-- It is not known when it was taken, and what is given back was mostly taken just now.
local function remove(quota, cost)
  for index = quota.index, quota.index - quota.buckets, -1 do
    local count = quota.counts[index]
    if count and cost > 0 then
      local removed = math.min(count, cost)
      cost = cost - removed
      quota.counts[index] = count > removed and count - removed or nil
    end
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

-- The indexes of the buckets of a quota in order: the same value is always the same text.
local function indexes(quota)
  local sorted = {}
  for index in pairs(quota.counts) do
    sorted[#sorted + 1] = index
  end
  table.sort(sorted)
  return sorted
end

local function write(at, ahead)
  local words, until_whole = { digits(at) }, 0
  for _, quota in ipairs(quotas) do
    local sorted, counts = indexes(quota), {}
    for i, index in ipairs(sorted) do
      counts[i] = digits(index) .. '=' .. digits(quota.counts[index]) .. ','
    end
    if #sorted > 0 then
      words[#words + 1] = quota.id .. ':' .. table.concat(counts)
      local gone_at = (sorted[#sorted] + quota.buckets + 1) * quota.length
      until_whole = math.max(until_whole, gone_at - at)
    end
  end
  if until_whole > 0 then
    redis.call('SET', key, table.concat(words, ' '), 'PX', lifetime(until_whole + ahead))
  else
    redis.call('DEL', key)
  end
end

local stored = read()
if not stored then
  return malformed()
end
local at, ahead = clock(stored)
for _, quota in ipairs(quotas) do
  advance(quota, at)
end
local admitted, taken = decide()
local answer = { admitted, taken, at, ahead }
for _, quota in ipairs(quotas) do
  add(quota, taken)
  if act == 'charge' then
    add(quota, math.min(amount, math.max(quota.most - quota.used, 0)))
  elseif act == 'back' then
    remove(quota, amount)
  end
  local sorted = indexes(quota)
  answer[#answer + 1] = #sorted
  for _, index in ipairs(sorted) do
    answer[#answer + 1] = index
    answer[#answer + 1] = quota.counts[index]
  end
end
if taken > 0 or amount > 0 and (act == 'charge' or act == 'back') then
  write(at, ahead)
end
return answer
