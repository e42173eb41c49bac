"""Small agreements between processes over Redis: who does a scheduled thing, and one at a time.

The lease of a job and the lock on its database are part of the job store's scripts (tasks.scripts), because
they must change in the same step as the job.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import redis

from tasks.redis import StoreUnavailable, translated

# Seconds after which a scheduled task whose process was killed no longer keeps others out. Short for the reaper: while
# nobody reaps, nobody takes over the jobs of a dead worker
LEASE = {
    "reap": 8.0,
    "sweep": 30.0,
    "reconcile": 30.0,
    "links": 30.0,
    "drift": 30.0,
    "security": 30.0,
    "canary": 30.0,
    "backups": 30.0,
    "rotation": 12.0,
    "audits": 30.0,
    "receivers": 30.0,
    "conflicts": 30.0,
}
# Seconds for which the lease is renewed: one that hangs longer no longer keeps others out either. Work over very many
# databases takes minutes
LONGEST = {"reap": 8.0}
LONGEST_OTHERWISE = 900.0
ALONE = "nbr:alone:"
_RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


def take_slot(client: redis.Redis, name: str, now: float, interval: float) -> bool:
    """Whether we are the first to do `name` in this interval: several beats make one."""
    slot = int(now // interval)
    with translated():
        return bool(client.set(f"nbr:slot:{name}:{slot}", "1", nx=True, ex=int(interval * 2) + 1))


def ask_again(client: redis.Redis, name: str) -> None:
    """Have whoever does `name` now, or next, know that it was asked for after they may have begun."""
    with translated():
        client.set(f"nbr:again:{name}", "1", ex=60)


def asked_again(client: redis.Redis, name: str) -> bool:
    """Whether it was, since this was asked last."""
    with translated():
        return bool(client.delete(f"nbr:again:{name}"))


def is_held(client: redis.Redis, name: str) -> bool:
    """Whether somebody is inside `alone`."""
    with translated():
        return bool(client.exists(f"{ALONE}{name}"))


@contextmanager
def alone(client: redis.Redis, name: str) -> Iterator[bool]:
    """Whether nobody else is inside; ours while we work, for at most LONGEST seconds, whatever happens to us."""
    key, nonce, lease = f"{ALONE}{name}", uuid.uuid4().hex, LEASE[name]
    with translated():
        mine = bool(client.set(key, nonce, nx=True, px=int(lease * 1000)))
    over = threading.Event()
    if mine and LONGEST.get(name, LONGEST_OTHERWISE) > lease:
        threading.Thread(target=_renew, args=(client, key, nonce, name, over), daemon=True).start()
    try:
        yield mine
    finally:
        over.set()
        if mine:
            with translated():
                client.eval(RELEASE, 1, key, nonce)


def _renew(client: redis.Redis, key: str, nonce: str, name: str, over: threading.Event) -> None:
    until = time.monotonic() + LONGEST.get(name, LONGEST_OTHERWISE)
    while not over.wait(LEASE[name] / 3) and time.monotonic() < until:
        with suppress(StoreUnavailable), translated():
            client.eval(_RENEW, 1, key, nonce, str(int(LEASE[name] * 1000)))
