"""Databases that changed and are to be synced: marked by the feeds and the periodic pass, worked off a few at a time.

Not jobs: a thousand changing databases would bury those that people started. An entry here is a hint that is cheap to
lose, because the periodic pass finds again what differs. Each step is one Lua script, as in tasks.scripts:

    dirty      sorted set: database -> when it may be synced (when it was first marked; later after a failure)
    busy       sorted set: database -> until when its worker must have been heard of
    busy:tokens, failures    hashes: database -> token of the sync under way; failures in a row
    since, busy:since        sorted sets: database -> when the oldest change was seen that is not carried yet: of what
                             waits, and of what is being synced

A database is synced by one worker at a time, and one that is marked meanwhile is synced once more. A worker that is
silent past its lease has lost it: the database is dirty again, and its old token writes nothing any more.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import redis

from tasks.jobs import Progress
from tasks.redis import translated
from worker.ops.parallel import batches

PREFIX = "nbr:on-change:"
BATCH = 1_000
START_LEASE = 60.0  # seconds until a sync that was put on the queue must have begun

_KEYS = f"""
local dirty, busy, tokens, failures = '{PREFIX}dirty', '{PREFIX}busy', '{PREFIX}busy:tokens', '{PREFIX}failures'
local since, busy_since = '{PREFIX}since', '{PREFIX}busy:since'
local function move(name, from, to)
  local seen = redis.call('ZSCORE', from, name)
  if seen then
    redis.call('ZREM', from, name)
    redis.call('ZADD', to, 'LT', seen, name)
  end
end
"""
# ARGV: now, NX or LT (bring forward what waits), databases. Returns how many were not marked before
_MARK = (
    _KEYS
    + """
local new = 0
for i = 3, #ARGV do
  new = new + redis.call('ZADD', dirty, ARGV[2], ARGV[1], ARGV[i])
  redis.call('ZADD', since, 'NX', ARGV[1], ARGV[i])
end
return new
"""
)
# ARGV: now, what is ripe (marked by then), most at once, lease, tokens. Returns {{database, token} ...}
_TAKE = (
    _KEYS
    + """
for _, lost in ipairs(redis.call('ZRANGEBYSCORE', busy, '-inf', ARGV[1])) do
  redis.call('ZREM', busy, lost)
  redis.call('HDEL', tokens, lost)
  redis.call('ZADD', dirty, 'NX', ARGV[2], lost)
  move(lost, busy_since, since)
end
local free = tonumber(ARGV[3]) - redis.call('ZCARD', busy)
local taken, look = {}, 0
while free > 0 do
  local ripe = redis.call('ZRANGEBYSCORE', dirty, '-inf', ARGV[2], 'LIMIT', look, 100)
  if #ripe == 0 then break end
  for _, name in ipairs(ripe) do
    if free > 0 and not redis.call('ZSCORE', busy, name) then
      free = free - 1
      local token = ARGV[5 + #taken]
      redis.call('ZREM', dirty, name)
      redis.call('ZADD', busy, tonumber(ARGV[1]) + tonumber(ARGV[4]), name)
      redis.call('HSET', tokens, name, token)
      move(name, since, busy_since)
      taken[#taken + 1] = {name, token}
    else
      look = look + 1
    end
  end
end
return taken
"""
)
# ARGV: now, database, token, lease. Returns 1 where it is still ours
_KEEP = (
    _KEYS
    + """
if redis.call('HGET', tokens, ARGV[2]) ~= ARGV[3] then return 0 end
redis.call('ZADD', busy, tonumber(ARGV[1]) + tonumber(ARGV[4]), ARGV[2])
return 1
"""
)
# ARGV: database, token, when it is to be synced again or '', 1 where it failed. Returns failures in a row, or -1
_DONE = (
    _KEYS
    + """
if redis.call('HGET', tokens, ARGV[1]) ~= ARGV[2] then return -1 end
redis.call('ZREM', busy, ARGV[1])
redis.call('HDEL', tokens, ARGV[1])
local count = 0
if ARGV[4] == '1' then
  count = redis.call('HINCRBY', failures, ARGV[1], 1)
else
  redis.call('HDEL', failures, ARGV[1])
end
if ARGV[3] ~= '' then
  redis.call('ZADD', dirty, ARGV[3], ARGV[1])
  move(ARGV[1], busy_since, since)
else
  redis.call('ZREM', busy_since, ARGV[1])
end
return count
"""
)


@dataclass(frozen=True)
class Taken:
    """A database to be synced by whoever has the token."""

    database: str
    token: str


class DirtySet:
    """All methods raise tasks.redis.StoreUnavailable where Redis does not answer. Times: seconds since the epoch."""

    def __init__(self, client: redis.Redis, lease_seconds: float) -> None:
        self._redis: Any = client  # see JobStore
        self._lease = lease_seconds
        sources = {"mark": _MARK, "take": _TAKE, "keep": _KEEP, "done": _DONE}
        self._scripts = {name: client.register_script(source) for name, source in sources.items()}

    def mark(self, databases: Iterable[str], now: float, *, sooner: bool = False) -> int:
        """They changed. `sooner`: those that wait after a failure need not. Returns how many were not marked before."""
        how = "LT" if sooner else "NX"
        return sum(int(self._run("mark", now, how, *batch)) for batch in batches(list(databases), BATCH))

    def take(self, now: float, quiet_seconds: float, at_once: int) -> list[Taken]:
        """Those marked `quiet_seconds` ago or longer, as many as may begin beside those under way."""
        tokens = [uuid.uuid4().hex for _ in range(at_once)]
        taken = self._run("take", now, now - quiet_seconds, at_once, START_LEASE, *tokens)
        return [Taken(name, token) for name, token in taken]

    def keep(self, database: str, token: str, now: float) -> bool:
        """Say that the sync goes on. False where it is not ours any more."""
        return bool(self._run("keep", now, database, token, self._lease))

    def done(self, database: str, token: str, *, again_at: float | None = None, failed: bool = False) -> int:
        """Say that it has ended. Returns the failures in a row, and -1 where it was not ours any more."""
        return int(self._run("done", database, token, "" if again_at is None else again_at, int(failed)))

    def failures(self, database: str) -> int:
        with translated():
            return int(self._redis.hget(f"{PREFIX}failures", database) or 0)

    def counts(self) -> dict[str, int]:
        """{dirty, busy}."""
        with translated():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.zcard(f"{PREFIX}dirty").zcard(f"{PREFIX}busy")
            dirty, busy = pipeline.execute()
        return {"dirty": dirty, "busy": busy}

    def carrying_since(self, database: str) -> float | None:
        """When the oldest change was seen that its sync under way is for."""
        with translated():
            return self._redis.zscore(f"{PREFIX}busy:since", database)  # type: ignore[no-any-return]

    def oldest(self) -> float | None:
        """When the oldest change was seen that is not carried yet; None where there is none."""
        with translated():
            pipeline = self._redis.pipeline(transaction=False)
            for name in ("since", "busy:since"):
                pipeline.zrange(f"{PREFIX}{name}", 0, 0, withscores=True)
            return min((score for found in pipeline.execute() for _, score in found), default=None)

    def outstanding(self, database: str) -> bool:
        """Whether it waits for a sync or is being synced."""
        with translated():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.zscore(f"{PREFIX}dirty", database).zscore(f"{PREFIX}busy", database)
            return any(score is not None for score in pipeline.execute())

    def _run(self, name: str, *args: Any) -> Any:
        with translated():
            return self._scripts[name](args=args)


class Keeper:
    """Keeps a sync's lease for tasks.attempt.Attempt, as the job store does for a job's."""

    def __init__(self, dirty: DirtySet, clock: Any) -> None:
        self._dirty = dirty
        self._clock = clock

    def beat(self, database: str, _number: int, token: str, _progress: Progress | None = None) -> str:
        return "ok" if self._dirty.keep(database, token, self._clock()) else "lost"
