"""Webhook receivers that callers have registered, in Redis: who they are, and what is kept sealed of them.

Redis is where every process finds them; that they outlast it is the business of tasks.receivers_kept.

    nbr:webhooks          hash: id -> JSON of a Registration
    nbr:webhooks:gone     hash: id -> when it was deleted
    nbr:webhooks:copies   hash: node -> digest of what it has a copy of
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from config.webhooks import PREFIX as SECRET_PREFIX
from config.webhooks import Receiver, parse_keys
from tasks.redis import translated
from tasks.sealing import seal, unseal
from worker.core.registrations import (
    GONE_KEPT,
    MOST,
    MOST_GONE,
    PREFIX,
    Registration,
    Registrations,
    digest,
    one_as_json,
    one_from_json,
)

KEY = "nbr:webhooks"
GONE = f"{KEY}:gone"
COPIES = f"{KEY}:copies"
COPIES_TTL = 3_600  # seconds after which all nodes are read again: one may have lost its copy
SECRET_BYTES = 32

# One step, because two callers may register at once, and a node's old copy may be read while its receiver is deleted.
# KEYS: living, gone. ARGV: id, JSON, most. Returns added, there, gone or full
_ADD = """
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 'gone' end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 'there' end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 'full' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 'added'
"""
_NO_BOUND = 1_000_000


class NoSecretKey(Exception):
    """SECRET_KEY is not set: there is nothing to seal a receiver with."""


class TooManyReceivers(Exception):
    """There are MOST receivers already."""


@dataclass(frozen=True)
class Opened:
    """What is sealed of a receiver. `keys`: to sign with."""

    url: str = field(repr=False)
    keys: tuple[bytes, ...] = field(repr=False)


class Receivers:
    """All methods raise tasks.redis.StoreUnavailable where Redis does not answer. `keys`: those of SECRET_KEY."""

    def __init__(self, client: redis.Redis, keys: Sequence[str]) -> None:
        self._redis: Any = client  # see JobStore
        self._keys = tuple(keys)
        self._add = client.register_script(_ADD)

    def add(
        self, receiver: Receiver, now: float, *, events: Sequence[str] | None, description: str | None
    ) -> tuple[Registration, str]:
        """Returns it, and its secret, which is told this once. Raises NoSecretKey and TooManyReceivers."""
        if not self._keys:
            raise NoSecretKey
        secret = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        made = Registration(
            id=PREFIX + secrets.token_hex(8),
            host=receiver.host,
            created_at=now,
            sealed=seal(self._keys, json.dumps({"url": receiver.url, "secret": secret}).encode()),
            events=None if events is None else tuple(events),
            description=description,
        )
        if self._put(made, MOST) == "full":
            raise TooManyReceivers
        return made, secret

    def living(self) -> list[Registration]:
        """The oldest first."""
        with translated():
            found = [one_from_json(json.loads(raw)) for raw in self._redis.hvals(KEY)]
        return sorted(found, key=lambda one: (one.created_at, one.id))

    def get(self, identity: str) -> Registration | None:
        with translated():
            raw = self._redis.hget(KEY, identity)
        return one_from_json(json.loads(raw)) if raw else None

    def opened(self, registration: Registration) -> Opened:
        """Raises WrongSecretKey."""
        plain = json.loads(unseal(self._keys, registration.sealed))
        return Opened(plain["url"], parse_keys(plain["secret"]))

    def remove(self, identity: str, now: float) -> bool:
        """False where there was none."""
        with translated():
            if not self._redis.hexists(KEY, identity):
                return False
            self._redis.pipeline().hset(GONE, identity, now).hdel(KEY, identity).execute()
        return True

    # --- for the copies on the nodes

    def known(self) -> Registrations:
        with translated():
            living, gone = self._redis.pipeline().hgetall(KEY).hgetall(GONE).execute()
        return Registrations(
            {identity: one_from_json(json.loads(raw)) for identity, raw in living.items()},
            {identity: float(at) for identity, at in gone.items()},
        )

    def learn(self, copy: Registrations) -> None:
        """What a node remembers, and we may have lost."""
        with translated():
            pipeline = self._redis.pipeline()
            for identity, at in copy.gone.items():
                pipeline.hsetnx(GONE, identity, at)
                pipeline.hdel(KEY, identity)
            pipeline.execute()
        for registration in copy.living.values():
            self._put(registration, _NO_BOUND)

    def forget_gone(self, now: float) -> None:
        """Deletions that no copy can be older than, and the oldest of too many."""
        with translated():
            gone = sorted(self._redis.hgetall(GONE).items(), key=lambda item: float(item[1]), reverse=True)
            old = [name for place, (name, at) in enumerate(gone) if place >= MOST_GONE or float(at) <= now - GONE_KEPT]
            if old:
                self._redis.hdel(GONE, *old)

    def copies(self) -> dict[str, str]:
        """Node -> digest of what it has a copy of."""
        with translated():
            return dict(self._redis.hgetall(COPIES))

    def copied_to(self) -> list[str]:
        """The nodes that have a copy of what is registered now."""
        wanted = digest(self.known())
        return sorted(node for node, has in self.copies().items() if has == wanted)

    def save_copies(self, digests: Mapping[str, str]) -> None:
        if not digests:
            return
        with translated():
            self._redis.hset(COPIES, mapping=dict(digests))
            if self._redis.ttl(COPIES) < 0:  # and not only when it was made: whoever made it may have died before this
                self._redis.expire(COPIES, COPIES_TTL)

    def _put(self, registration: Registration, most: int) -> str:
        raw = json.dumps(one_as_json(registration))
        with translated():
            return str(self._add(keys=[KEY, GONE], args=[registration.id, raw, most]))
