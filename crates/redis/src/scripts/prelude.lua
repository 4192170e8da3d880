-- Goes before each of the scripts. Numbers are doubles here: whole ones are exact up to 2^53.

-- A key lives for this many milliseconds longer than anything depends on it.
local margin = 2

-- The time in microseconds, and how far ahead of it the state is. A clock that has stepped back
-- creates nothing: the time then stands still until it has caught up.
local function clock(at)
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
  if at > now then
    return at, at - now
  end
  return now, 0
end

-- A whole number of a stored text, nil if it is none, or too large to go on counting from.
local function whole(text)
  local number = text and string.match(text, '^%d+$') and tonumber(text)
  return number and number < 4503599627370496 and number or nil
end

-- A whole number as text: tostring would round it to 14 digits.
local function digits(number)
  return string.format('%.0f', number)
end

-- The quotient and the remainder of a * b / c for c up to 2^51, both exact where they are below
-- 2^53. Since a * b may not be, a is taken in parts that are so small that nothing is rounded.
local function muldiv(a, b, c)
  local product = a * b
  if product < 9007199254740992 then
    local quotient = math.floor(product / c)
    return quotient, product - quotient * c
  end
  local quotient = a * math.floor(b / c)
  b = b % c
  local base = 1
  while base * c <= 2251799813685248 do
    base = base * 2
  end
  local parts = {}
  while a > 0 do
    parts[#parts + 1] = a % base
    a = math.floor(a / base)
  end
  local more, rest = 0, 0
  for i = #parts, 1, -1 do
    local part = rest * base + parts[i] * b
    more = more * base + math.floor(part / c)
    rest = part % c
  end
  return quotient + more, rest
end

local function malformed()
  return redis.error_reply('MALFORMED the value of ' .. KEYS[1] .. ' is not one of ours')
end

-- Lets the key live for the microseconds, which may be more than Redis counts.
local function lifetime(micros)
  return digits(math.min(math.ceil(micros / 1000), 1e15) + margin)
end

local key, act, amount = KEYS[1], ARGV[1], tonumber(ARGV[2])
