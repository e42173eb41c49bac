"""The job store's steps as Lua, each atomic inside Redis.

Why Lua and not MULTI: every step decides from what it reads (is there a lease? is the token still mine?),
and two workers may run the same step at once. A script is one indivisible decision, and one round trip.

Keys (all under the prefix `nbr:`):

    job:ID              hash: data (JSON of what was asked), state, attempts (starts: the fencing token), failures
                        (starts that ended with a lost worker or a transient error), started_at, finished_at,
                        not_before, progress, result, error, cancel, confirmed
    lease:ID            the nonce of the worker that runs the job; gone when that worker is silent too long
    lock:NAME           id of the job that owns NAME (one operation a database)
    waiting:NAME        ids of jobs that found NAME locked; woken when the owner ends
    active:DEDUPE       id of the queued job that asks for the same thing
    idempotency:DIGEST  fingerprint of the first request with this key, and the id of its job
    jobs, jobs:kind:K, jobs:database:D, jobs:state:S, jobs:open:S:K (queued and running ones of a kind)
                        sorted sets of ids, all scores 0 (ids sort by time)
    due:queued          ids scored by when they were last put on the queue
    due:ended           ids scored by when the record is to be forgotten

A script that is run twice because an answer was lost changes nothing the second time: `create` looks for
its id, `claim` for its nonce, and the others for the state they would make. Jobs that a script wakes are also
marked as due in `due:queued`, so that the reaper finds them where the list of ids got lost.

Times are those of the callers' clocks; machines need to agree within a few seconds (NTP).

One long file, because the scripts share a prelude and are only right together.
"""

from __future__ import annotations

_PRELUDE = """
local P = 'nbr:'
local function job_key(id) return P .. 'job:' .. id end
local function data_of(id)
  local raw = redis.call('HGET', job_key(id), 'data')
  if not raw then return nil end
  return cjson.decode(raw)
end
local function list_open(id, kind, state)
  for _, each in ipairs({'queued', 'running'}) do
    local key = P .. 'jobs:open:' .. each .. ':' .. kind
    if each == state then redis.call('ZADD', key, 0, id) else redis.call('ZREM', key, id) end
  end
end
local function move(id, kind, from, to)
  redis.call('ZREM', P .. 'jobs:state:' .. from, id)
  redis.call('ZADD', P .. 'jobs:state:' .. to, 0, id)
  list_open(id, kind, to)
  redis.call('HSET', job_key(id), 'state', to)
end
local function tell(id, what) redis.call('PUBLISH', P .. 'events:' .. id, what) end
local function drop_active(id, data)
  local key = P .. 'active:' .. data.dedupe
  if redis.call('GET', key) == id then redis.call('DEL', key) end
end
local function unlock(id, data)
  redis.call('DEL', P .. 'lease:' .. id)
  local key = P .. 'lock:' .. data.lock
  if redis.call('GET', key) == id then redis.call('DEL', key) end
  local waiting = P .. 'waiting:' .. data.lock
  local ids = redis.call('LRANGE', waiting, 0, -1)
  redis.call('DEL', waiting)
  for _, other in ipairs(ids) do redis.call('ZADD', P .. 'due:queued', 'XX', 0, other) end
  return ids
end
local function list(id, data, state)
  redis.call('ZADD', P .. 'jobs', 0, id)
  redis.call('ZADD', P .. 'jobs:kind:' .. data.kind, 0, id)
  if data.database ~= cjson.null and data.database then
    redis.call('ZADD', P .. 'jobs:database:' .. data.database, 0, id)
  end
  redis.call('ZADD', P .. 'jobs:state:' .. state, 0, id)
  list_open(id, data.kind, state)
end
local function enqueue_again(id, data, now, not_before, failures)
  move(id, data.kind, 'running', 'queued')
  redis.call('HSET', job_key(id), 'not_before', not_before)
  redis.call('HINCRBY', job_key(id), 'failures', failures)
  redis.call('ZADD', P .. 'due:queued', now, id)
  redis.call('SET', P .. 'active:' .. data.dedupe, id, 'NX')
  tell(id, 'queued')
end
local function finish(id, data, from, to, now, ttl)
  move(id, data.kind, from, to)
  redis.call('HSET', job_key(id), 'finished_at', now)
  if to == 'succeeded' then redis.call('HDEL', job_key(id), 'progress') end
  redis.call('ZREM', P .. 'due:queued', id)
  redis.call('ZADD', P .. 'due:ended', now + ttl, id)
  redis.call('PERSIST', job_key(id))
  drop_active(id, data)
  tell(id, to)
  return unlock(id, data)
end
local function owns(id, token)
  local seen = redis.call('HMGET', job_key(id), 'state', 'attempts')
  return seen[1] == 'running' and seen[2] == token
end
"""

# ARGV: id, data, idempotency digest or '', fingerprint, seconds until an unconfirmed record evaporates,
#       seconds to keep the idempotency key, hash of databases that the request's must be in or '',
#       seconds after which an unconfirmed record is given up
# Returns {what, id}; what: created, deduplicated, advanced (deduplicated to a job that waited for its retry, and
# need not any more: publish it), replayed, mismatch, making (an equal request is between its
# record and its message: ask again), unknown (nothing was written)
CREATE = (
    _PRELUDE
    + """
local id, raw, digest, fingerprint = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('EXISTS', job_key(id)) == 1 then return {'created', id} end
-- on its way, or dead: whoever made a record answers 503 before it is given up, and may have died before that
local function being_made(other)
  if redis.call('HGET', job_key(other), 'confirmed') == '1' then return false end
  if tonumber(ARGV[5]) - redis.call('TTL', job_key(other)) < tonumber(ARGV[8]) then return true end
  redis.call('DEL', job_key(other))
  return false
end
local idempotency = P .. 'idempotency:' .. digest
if digest ~= '' then
  local first = redis.call('HMGET', idempotency, 'fingerprint', 'id')
  if first[1] and redis.call('EXISTS', job_key(first[2])) == 1 then
    if first[1] ~= fingerprint then return {'mismatch', first[2]} end
    if being_made(first[2]) then return {'making', first[2]} end
    if redis.call('EXISTS', job_key(first[2])) == 1 then return {'replayed', first[2]} end
  end
end
local data = cjson.decode(raw)
local active = redis.call('GET', P .. 'active:' .. data.dedupe)
local what = 'created'
if active and redis.call('EXISTS', job_key(active)) == 1 then
  if being_made(active) then return {'making', active} end
  local seen = redis.call('HMGET', job_key(active), 'state', 'cancel', 'not_before')
  if seen[1] == 'queued' and seen[2] ~= '1' then
    what = 'deduplicated'; id = active
    if tonumber(seen[3]) > data.created_at then
      redis.call('HSET', job_key(id), 'not_before', '0')
      what = 'advanced'
    end
    local old = data_of(id)
    if data.breadth > old.breadth then -- the wider request takes the narrower one along
      old.breadth, old.params = data.breadth, data.params
      redis.call('HSET', job_key(id), 'data', cjson.encode(old))
    end
  end
end
if what == 'created' and ARGV[7] ~= '' and redis.call('HEXISTS', ARGV[7], data.database) == 0 then
  return {'unknown', ''}
end
if what == 'created' then
  redis.call('HSET', job_key(id), 'data', raw, 'state', 'queued', 'attempts', '0', 'not_before', '0')
  redis.call('EXPIRE', job_key(id), ARGV[5])
  redis.call('SET', P .. 'active:' .. data.dedupe, id, 'EX', ARGV[5])
end
if digest ~= '' then
  redis.call('HSET', idempotency, 'fingerprint', fingerprint, 'id', id)
  redis.call('EXPIRE', idempotency, ARGV[6])
end
return {what, id}
"""
)

# The message is on the queue: the record may stay. ARGV: id, now. Returns 0 where it was given up meanwhile
CONFIRM = (
    _PRELUDE
    + """
local id = ARGV[1]
local data = data_of(id)
if not data then return 0 end
local state = redis.call('HGET', job_key(id), 'state')
redis.call('HSET', job_key(id), 'confirmed', '1')
if state == 'queued' or state == 'running' then redis.call('PERSIST', job_key(id)) end
if state == 'queued' then
  local active = P .. 'active:' .. data.dedupe
  if redis.call('GET', active) == id then redis.call('PERSIST', active) end
  redis.call('ZADD', P .. 'due:queued', ARGV[2], id)
end
list(id, data, state)
return 1
"""
)

# The message could not be put on the queue: as if nothing had been asked. ARGV: id
DISCARD = (
    _PRELUDE
    + """
local id = ARGV[1]
local data = data_of(id)
if not data or redis.call('HGET', job_key(id), 'attempts') ~= '0' then return 0 end
drop_active(id, data)
redis.call('DEL', job_key(id))
return 1
"""
)

# ARGV: id, nonce, now, lease in ms, JSON of {most: failures, error: its JSON for a job that has used them up} by kind,
#       result ttl
# Returns {what, token or 0, ids to wake}; what: claimed, gone, not-queued, early, leased, busy, exhausted
CLAIM = (
    _PRELUDE
    + """
local id, nonce, now = ARGV[1], ARGV[2], tonumber(ARGV[3])
local data = data_of(id)
if not data then return {'gone', 0, {}} end
local seen = redis.call('HMGET', job_key(id), 'state', 'attempts', 'not_before', 'cancel', 'failures')
local lease, lock = P .. 'lease:' .. id, P .. 'lock:' .. data.lock
local holder = redis.call('GET', lease)
if seen[1] == 'running' and holder == nonce then return {'claimed', tonumber(seen[2]), {}} end
if seen[1] ~= 'queued' then return {'not-queued', 0, {}} end
if holder then return {'leased', 0, {}} end
if tonumber(seen[3] or '0') > now and seen[4] ~= '1' then return {'early', 0, {}} end
local owner = redis.call('GET', lock)
if owner and owner ~= id then
  local waiting = P .. 'waiting:' .. data.lock
  redis.call('LREM', waiting, 0, id)
  redis.call('RPUSH', waiting, id)
  return {'busy', 0, {}}
end
-- a cancelled job is claimed whatever it has used up: what it left running on the nodes has to be stopped
local lost = cjson.decode(ARGV[5])[data.kind]
if seen[4] ~= '1' and tonumber(seen[5] or '0') >= lost.most then
  redis.call('HSET', job_key(id), 'error', lost.error)
  return {'exhausted', 0, finish(id, data, 'queued', 'failed', ARGV[3], tonumber(ARGV[6]))}
end
local attempt = tonumber(seen[2]) + 1
redis.call('PERSIST', job_key(id))
list(id, data, 'queued')
move(id, data.kind, 'queued', 'running')
redis.call('HSET', job_key(id), 'confirmed', '1', 'attempts', tostring(attempt), 'started_at', ARGV[3])
redis.call('SET', lease, nonce, 'PX', ARGV[4])
redis.call('SET', lock, id, 'PX', ARGV[4])
redis.call('ZREM', P .. 'due:queued', id)
drop_active(id, data)
tell(id, 'running')
return {'claimed', attempt, {}}
"""
)

# A worker that was silent past its lease may be back before the reaper saw it: it goes on only where nobody took
# the job or its lock meanwhile. ARGV: id, token, nonce, lease in ms, progress JSON or ''. Returns ok, cancel or lost
BEAT = (
    _PRELUDE
    + """
local id = ARGV[1]
if not owns(id, ARGV[2]) then return 'lost' end
local lease, lock = P .. 'lease:' .. id, P .. 'lock:' .. data_of(id).lock
local holder, owner = redis.call('GET', lease), redis.call('GET', lock)
if (holder and holder ~= ARGV[3]) or (owner and owner ~= id) then return 'lost' end
redis.call('SET', lease, ARGV[3], 'PX', ARGV[4])
redis.call('SET', lock, id, 'PX', ARGV[4])
if ARGV[5] ~= '' then
  redis.call('HSET', job_key(id), 'progress', ARGV[5])
  tell(id, 'progress')
end
if redis.call('HGET', job_key(id), 'cancel') == '1' then return 'cancel' end
return 'ok'
"""
)

# ARGV: id, token, state, now, result ttl, result JSON or '', error JSON or ''. Returns {1 or 0, ids to wake}
FINISH = (
    _PRELUDE
    + """
local id = ARGV[1]
local seen = redis.call('HMGET', job_key(id), 'state', 'attempts')
if seen[1] == ARGV[3] and seen[2] == ARGV[2] then return {1, {}} end -- this very call, its answer lost
if not owns(id, ARGV[2]) then return {0, {}} end
if ARGV[6] ~= '' then redis.call('HSET', job_key(id), 'result', ARGV[6]) end
if ARGV[7] ~= '' then redis.call('HSET', job_key(id), 'error', ARGV[7]) end
return {1, finish(id, data_of(id), 'running', ARGV[3], ARGV[4], tonumber(ARGV[5]))}
"""
)

# The job goes back to the queue. ARGV: id, token, now, not_before, failures to add (0 or 1)
# Returns {1 or 0, ids to wake}
RELEASE = (
    _PRELUDE
    + """
local id = ARGV[1]
if not owns(id, ARGV[2]) then return {0, {}} end
local data = data_of(id)
local not_before = ARGV[4]
if redis.call('HGET', job_key(id), 'cancel') == '1' then not_before = '0' end
enqueue_again(id, data, ARGV[3], not_before, ARGV[5])
local wake = unlock(id, data)
if tonumber(not_before) == 0 then
  redis.call('ZADD', P .. 'due:queued', 0, id)
  table.insert(wake, id)
end
return {1, wake}
"""
)

# ARGV: id, now, result ttl. Returns {what, ids to wake}; what: gone, ended, cancelled, requested
CANCEL = (
    _PRELUDE
    + """
local id = ARGV[1]
local data = data_of(id)
if not data then return {'gone', {}} end
local seen = redis.call('HMGET', job_key(id), 'state', 'attempts')
if seen[1] == 'queued' and seen[2] == '0' then
  return {'cancelled', finish(id, data, 'queued', 'cancelled', ARGV[2], tonumber(ARGV[3]))}
end
if seen[1] ~= 'queued' and seen[1] ~= 'running' then return {'ended', {}} end
-- an earlier attempt may have left work on the nodes: whoever holds or next claims the job stops that first
redis.call('HSET', job_key(id), 'cancel', '1')
tell(id, 'cancel')
return {'requested', {}}
"""
)

# ARGV: now, JSON of seconds after which a queued job is put on the queue again, by kind, most ids a call
# Returns ids to put on the queue
REAP = (
    _PRELUDE
    + """
local now, bounds, most = tonumber(ARGV[1]), cjson.decode(ARGV[2]), tonumber(ARGV[3])
local again = {}
for _, id in ipairs(redis.call('ZRANGE', P .. 'jobs:state:running', 0, -1)) do
  if redis.call('EXISTS', P .. 'lease:' .. id) == 0 then
    local data = data_of(id)
    if data then
      enqueue_again(id, data, ARGV[1], '0', 1)
      table.insert(again, id)
    else
      redis.call('ZREM', P .. 'jobs:state:running', id)
      for kind in pairs(bounds) do list_open(id, kind, 'forgotten') end
    end
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'due:queued', '-inf', now)) do
  if #again >= most then break end
  local queued_at = tonumber(redis.call('ZSCORE', P .. 'due:queued', id))
  local not_before = tonumber(redis.call('HGET', job_key(id), 'not_before') or '0')
  local retry_due = not_before > queued_at and not_before <= now
  local data = data_of(id)
  if not data then
    redis.call('ZREM', P .. 'due:queued', id)
  elseif retry_due or (not_before <= now and queued_at <= now - bounds[data.kind]) then
    redis.call('ZADD', P .. 'due:queued', now, id)
    table.insert(again, id)
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'due:ended', '-inf', now, 'LIMIT', 0, most)) do
  local data = data_of(id)
  if data then
    redis.call('ZREM', P .. 'jobs:kind:' .. data.kind, id)
    list_open(id, data.kind, 'forgotten')
    if data.database ~= cjson.null and data.database then
      redis.call('ZREM', P .. 'jobs:database:' .. data.database, id)
    end
  end
  for _, state in ipairs({'succeeded', 'failed', 'cancelled'}) do
    redis.call('ZREM', P .. 'jobs:state:' .. state, id)
  end
  redis.call('ZREM', P .. 'jobs', id)
  redis.call('ZREM', P .. 'due:ended', id)
  redis.call('DEL', job_key(id))
end
return again
"""
)

# ARGV: kinds. Returns {queued, id of the oldest queued one or '', running} of each; ids sort by time. From sets that
# are kept for it: meeting the sets of states and of kinds holds Redis up for as long as there are jobs
BACKLOG = (
    _PRELUDE
    + """
local found = {}
for _, kind in ipairs(ARGV) do
  local queued, running = P .. 'jobs:open:queued:' .. kind, P .. 'jobs:open:running:' .. kind
  local oldest = redis.call('ZRANGE', queued, 0, 0)[1]
  found[#found + 1] = {redis.call('ZCARD', queued), oldest or '', redis.call('ZCARD', running)}
end
return found
"""
)

# A message was taken by a worker that cannot run it: the reaper is to see to the job soon. ARGV: id
EXPEDITE = (
    _PRELUDE
    + """
return redis.call('ZADD', P .. 'due:queued', 'XX', 0, ARGV[1])
"""
)
