"""One of several equal processes leads: a lock in Redis, renewed by its owner, taken over when it runs out."""

from __future__ import annotations

import time

import redis

from tasks.locks import RELEASE
from tasks.redis import translated

LEASE = 10.0  # seconds
RENEW_EVERY = 3.0
_KEEP = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


class Leader:
    """`nonce` is this process's own. Methods raise tasks.redis.StoreUnavailable where Redis does not answer."""

    def __init__(self, client: redis.Redis, name: str, nonce: str) -> None:
        self._redis = client
        self._key = f"nbr:leader:{name}"
        self._nonce = nonce
        self._renew_at = 0.0
        self._good_until = 0.0

    def take(self) -> bool:
        """Whether we lead from now on, or still do."""
        began = time.monotonic()
        with translated():
            ours = bool(self._redis.eval(_KEEP, 1, self._key, self._nonce, str(int(LEASE * 1000))))
        if ours:
            self._renew_at, self._good_until = began + RENEW_EVERY, began + LEASE
        return ours

    def keep(self) -> bool:
        """Renew the lock where that is due. False where another has it."""
        return self.take() if time.monotonic() >= self._renew_at else True

    def may_be_ours(self) -> bool:
        """Whether nobody else can lead yet, as far as we know without Redis."""
        return time.monotonic() < self._good_until

    def leave(self) -> None:
        with translated():
            self._redis.eval(RELEASE, 1, self._key, self._nonce)
