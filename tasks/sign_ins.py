"""Which sign-ins of browsers are good: so that one can be ended before its cookie runs out.

Only a digest of what the cookie holds is kept, so what is read here opens nothing. Redis wiped: everybody signs in
again.
"""

from __future__ import annotations

import hashlib
from typing import Any

import redis

from tasks.redis import translated

PREFIX = "nbr:sign-in:"


class SignIns:
    """All methods raise tasks.redis.StoreUnavailable where Redis does not answer. `token`: the digest of the token that
    somebody signed in with: the sign-in ends with it."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client  # see JobStore

    def open(self, secret: str, token: str, seconds: int) -> None:
        with translated():
            self._redis.set(_key(secret), token, ex=seconds)

    def token_of(self, secret: str) -> str | None:
        """None where it was ended, or has run out."""
        with translated():
            found: str | None = self._redis.get(_key(secret))
            return found

    def close(self, secret: str) -> None:
        with translated():
            self._redis.delete(_key(secret))


def _key(secret: str) -> str:
    return PREFIX + hashlib.sha256(secret.encode()).hexdigest()
