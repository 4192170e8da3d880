-- Token buckets and leaky ones, one for each quota. What is owed of a bucket are whole tokens and
-- `parts` of one, of which there are `period` to a token, and `tokens` of which come back in a
-- microsecond.
--
-- The value: the time, and for each quota its id, tokens and parts. Absent: nothing is owed.
--
-- Arguments: a turn, and for each quota: id, period, tokens, burst, the most that is owed, and the tokens and
-- parts up to which anything may be taken at all.
local quotas = {}
for i = 4, #ARGV - 6, 7 do
  quotas[#quotas + 1] = {
    id = ARGV[i],
    period = tonumber(ARGV[i + 1]),
    tokens = tonumber(ARGV[i + 2]),
    burst = tonumber(ARGV[i + 3]),
    most = tonumber(ARGV[i + 4]),
    open_tokens = tonumber(ARGV[i + 5]),
    open_parts = tonumber(ARGV[i + 6]),
    owed = 0,
    parts = 0,
  }
end

-- What was owed at the time of the value. Quotas that are not asked for are forgotten.
local function read()
  local value = redis.call('GET', key)
  if not value then
    return 0
  end
  local words = {}
  for word in string.gmatch(value, '%S+') do
    words[#words + 1] = word
  end
  local at, owed = whole(words[1]), {}
  for i = 2, #words, 3 do
    local tokens, parts = whole(words[i + 1]), whole(words[i + 2])
    if not tokens or not parts then
      return nil
    end
    owed[words[i]] = { tokens, parts }
  end
  for _, quota in ipairs(quotas) do
    local known = owed[quota.id]
    if known then
      quota.owed, quota.parts = known[1], math.min(known[2], quota.period - 1)
    end
  end
  return at
end

-- Takes off what has come back, and what a quota that has changed does not let be owed.
local function settle(quota, passed)
  local tokens, parts = muldiv(passed, quota.tokens, quota.period)
  quota.owed, quota.parts = quota.owed - tokens, quota.parts - parts
  if quota.parts < 0 then
    quota.owed, quota.parts = quota.owed - 1, quota.parts + quota.period
  end
  if quota.owed < 0 then
    quota.owed, quota.parts = 0, 0
  end
  if quota.owed >= quota.most then
    quota.owed, quota.parts = quota.most, 0
  end
end

local function is_open(quota)
  return quota.owed < quota.open_tokens
    or quota.owed == quota.open_tokens and quota.parts <= quota.open_parts
end

-- The whole tokens that are left.
local function left(quota)
  return math.max(quota.burst - quota.owed - (quota.parts > 0 and 1 or 0), 0)
end

-- What a turn is known by: when all that is owed will have come back, in parts and modulo 2^51. It
-- stays the same until something is taken, charged or given back.
local function turn(quota, at)
  local _, time = muldiv(at, quota.tokens, 2251799813685248)
  local _, owed = muldiv(quota.owed, quota.period, 2251799813685248)
  return (time + owed + quota.parts) % 2251799813685248
end

-- Returns whether it is admitted, and how much is taken of each quota.
local function decide()
  if act == 'take' or act == 'book' then
    for _, quota in ipairs(quotas) do
      if amount > 0 and (left(quota) < amount or not is_open(quota)) then
        return 0, 0
      end
    end
    return 1, amount
  elseif act == 'most' then
    local most = amount
    for _, quota in ipairs(quotas) do
      most = is_open(quota) and math.min(most, left(quota)) or 0
    end
    return most > 0 and 1 or 0, most
  end
  return 1, 0
end

local function charge(quota)
  quota.owed = quota.owed + amount
  if quota.owed >= quota.most then
    quota.owed, quota.parts = quota.most, 0
  end
end

local function give_back(quota)
  quota.owed = quota.owed - amount
  if quota.owed < 0 then
    quota.owed, quota.parts = 0, 0
  end
end

local function write(at, ahead)
  local words, longest = { digits(at) }, 0
  for _, quota in ipairs(quotas) do
    if quota.owed > 0 or quota.parts > 0 then
      words[#words + 1] = quota.id .. ' ' .. digits(quota.owed) .. ' ' .. digits(quota.parts)
      local owed = quota.owed * quota.period + quota.parts
      longest = math.max(longest, owed / quota.tokens)
    end
  end
  if longest > 0 then
    redis.call('SET', key, table.concat(words, ' '), 'PX', lifetime(longest + ahead))
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
  settle(quota, at - stored)
end
if act == 'leave' then
  act = turn(quotas[1], at) == tonumber(ARGV[3]) and 'back' or 'look'
end
local admitted, taken = decide()
local answer = { admitted, taken, ahead, 0 }
for _, quota in ipairs(quotas) do
  quota.owed = quota.owed + taken
  if act == 'charge' then
    charge(quota)
  elseif act == 'back' then
    give_back(quota)
  end
  answer[#answer + 1] = quota.owed
  answer[#answer + 1] = quota.parts
end
if act == 'book' then
  answer[4] = turn(quotas[1], at)
end
if taken > 0 or amount > 0 and (act == 'charge' or act == 'back') then
  write(at, ahead)
end
return answer
