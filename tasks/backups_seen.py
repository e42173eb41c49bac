"""The catalogue of backups as it was last read from the store, kept in Redis for the API. A cache: it is read again."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import redis

from tasks.redis import translated

PREFIX = "nbr:seen:backups"
SUMMARIES = f"{PREFIX}:summaries"  # hash: id -> JSON
ENTRIES = f"{PREFIX}:entries"  # hash: id -> its databases, packed: there may be ten thousand
STATE = f"{PREFIX}:state"  # hash: name -> JSON


class BackupsSeen:
    """All methods raise tasks.redis.StoreUnavailable where Redis does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client  # see JobStore

    def save(self, summaries: Sequence[Mapping[str, Any]], entries: Mapping[str, Sequence[Any]], now: float) -> None:
        """`summaries` of all backups there are. `entries`: of those whose databases are not known yet."""
        with translated():
            pipeline = self._redis.pipeline()
            known = self._redis.hkeys(ENTRIES)
            pipeline.delete(SUMMARIES)
            if summaries:
                pipeline.hset(SUMMARIES, mapping={one["id"]: json.dumps(one) for one in summaries})
            gone = set(known) - {one["id"] for one in summaries}
            if gone:
                pipeline.hdel(ENTRIES, *gone)
            if entries:
                pipeline.hset(ENTRIES, mapping={name: _packed(rows) for name, rows in entries.items()})
            pipeline.hset(STATE, "observed_at", json.dumps(now))
            pipeline.execute()

    def observed_at(self) -> float | None:
        return self.noted("observed_at")  # type: ignore[no-any-return]

    def known(self) -> set[str]:
        """Ids whose databases are known."""
        with translated():
            return set(self._redis.hkeys(ENTRIES))

    def all(self) -> list[dict[str, Any]]:
        """The newest first."""
        with translated():
            found = self._redis.hgetall(SUMMARIES)
        return [json.loads(found[name]) for name in sorted(found, reverse=True)]

    def one(self, backup: str) -> dict[str, Any] | None:
        with translated():
            raw = self._redis.hget(SUMMARIES, backup)
        return json.loads(raw) if raw else None

    def entries(self, backup: str) -> list[dict[str, Any]]:
        """Its databases; none where it is not known."""
        with translated():
            raw = self._redis.hget(ENTRIES, backup)
        return _unpacked(raw) if raw else []

    def note(self, name: str, value: Any) -> None:
        """Something that the schedule remembers: when it asked last, what it has told."""
        with translated():
            self._redis.hset(STATE, name, json.dumps(value))

    def noted(self, name: str) -> Any:
        with translated():
            raw = self._redis.hget(STATE, name)
        return json.loads(raw) if raw else None


def _packed(rows: Sequence[Any]) -> str:
    return base64.b85encode(zlib.compress(json.dumps(list(rows)).encode())).decode()


def _unpacked(text: str) -> list[dict[str, Any]]:
    return list(json.loads(zlib.decompress(base64.b85decode(text))))
