"""The last security report and what the next one has to know, kept in Redis. A cache: the next report finds it again.

No password, hash or URL with credentials is ever among it: only what a report tells.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import redis

from tasks.redis import translated

KEY = "nbr:seen:audit"  # hash: name -> JSON


class AuditsSeen:
    """All methods raise tasks.redis.StoreUnavailable where Redis does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client  # see JobStore

    def save(self, report: Mapping[str, Any], memory: Mapping[str, Any], told: Sequence[str]) -> None:
        """`memory`: node -> what the next look at it has to know. `told`: keys of the findings people were told of."""
        values = {"report": report, "memory": memory, "told": list(told)}
        with translated():
            self._redis.hset(KEY, mapping={name: json.dumps(value) for name, value in values.items()})

    def report(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._get("report")
        return found

    def memory(self) -> dict[str, Any]:
        return self._get("memory") or {}

    def told(self) -> list[str]:
        return self._get("told") or []

    def tried(self, now: float) -> None:
        """One was asked for, by the schedule."""
        with translated():
            self._redis.hset(KEY, "tried_at", json.dumps(now))

    def tried_at(self) -> float | None:
        found: float | None = self._get("tried_at")
        return found

    def _get(self, name: str) -> Any:
        with translated():
            raw = self._redis.hget(KEY, name)
        return json.loads(raw) if raw else None
