"""When each kind of our own processes was heard of last, in Redis: kept when the last of them has gone, so that an
operator is told since when none runs. Who lives now: tasks.observations, tasks.replication_seen.
"""

from __future__ import annotations

from typing import Any

import redis

from tasks.redis import translated

KEY = "nbr:seen:heard"  # hash: worker, control or watcher -> seconds since the epoch


class Heard:
    """All methods raise tasks.redis.StoreUnavailable where Redis does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client  # see JobStore

    def note(self, process: str, now: float) -> None:
        """`process`: the name of one, such as worker-17@host."""
        with translated():
            self._redis.hset(KEY, process.partition("-")[0], now)

    def last(self) -> dict[str, float]:
        """Without those that never were."""
        with translated():
            return {kind: float(at) for kind, at in self._redis.hgetall(KEY).items()}
