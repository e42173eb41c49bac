"""Small agreements between processes over Redis: who does a scheduled thing, and one at a time.

The lease of a job and the lock on its database are part of the job store's scripts (tasks.scripts), because
they must change in the same step as the job.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from tasks.redis import translated

# Seconds after which a scheduled task that hangs, or whose process was killed, no longer keeps others out. Short for
# the reaper: while nobody reaps, nobody takes over the jobs of a dead worker
LONGEST = {
    "reap": 8.0,
    "sweep": 30.0,
    "reconcile": 120.0,
    "links": 60.0,
    "drift": 60.0,
    "security": 60.0,
    "canary": 180.0,
}
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


def take_slot(client: redis.Redis, name: str, now: float, interval: float) -> bool:
    """Whether we are the first to do `name` in this interval: several beats make one."""
    slot = int(now // interval)
    with translated():
        return bool(client.set(f"nbr:slot:{name}:{slot}", "1", nx=True, ex=int(interval * 2) + 1))


@contextmanager
def alone(client: redis.Redis, name: str) -> Iterator[bool]:
    """Whether nobody else is inside; ours for at most LONGEST seconds, whatever happens to us."""
    key, nonce = f"nbr:alone:{name}", uuid.uuid4().hex
    with translated():
        mine = bool(client.set(key, nonce, nx=True, px=int(LONGEST[name] * 1000)))
    try:
        yield mine
    finally:
        if mine:
            with translated():
                client.eval(_RELEASE, 1, key, nonce)
