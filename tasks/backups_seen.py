"""The catalogue of backups as it was last read from the store, kept in Redis for the API. A cache: it is read again."""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import redis

from tasks.redis import fields, translated
from worker.core.manifest import EVERYTHING

PREFIX = "nbr:seen:backups"
SUMMARIES = f"{PREFIX}:summaries"  # hash: id -> JSON
ENTRIES = f"{PREFIX}:entries"  # hash: id -> its databases, packed: there may be ten thousand
BY_DATABASE = f"{PREFIX}:by-database"  # hash: database -> the ids of the backups that hold it, newest first
STATE = f"{PREFIX}:state"  # hash: name -> JSON


def newest_good(summaries: Iterable[dict[str, Any]], until: float = math.inf) -> dict[str, Any] | None:
    """Of everything. `summaries`: newest first. `until`: now, where it is asked how old it is: one from the future
    tells that a clock was ahead, and nothing of how old the newest is."""
    for one in summaries:
        if one["readable"] and one["good"] and one["scope"] == [EVERYTHING] and one["started_at"] <= until:
            return one
    return None


class BackupsSeen:
    """All methods raise tasks.redis.StoreUnavailable where Redis does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client  # see JobStore

    def save(self, summaries: Sequence[Mapping[str, Any]], entries: Mapping[str, Sequence[Any]], now: float) -> None:
        """`summaries` of all backups there are. `entries`: of those whose databases are not known yet."""
        with translated():
            known = self._redis.hkeys(ENTRIES)
        index, indexed = self._indexed({one["id"] for one in summaries}, known, entries)
        with translated():
            pipeline = self._redis.pipeline()
            pipeline.delete(SUMMARIES)
            if summaries:
                pipeline.hset(SUMMARIES, mapping={one["id"]: json.dumps(one) for one in summaries})
            gone = set(known) - {one["id"] for one in summaries}
            if gone:
                pipeline.hdel(ENTRIES, *gone)
            if entries:
                pipeline.hset(ENTRIES, mapping={name: _packed(rows) for name, rows in entries.items()})
            if kept := {name: " ".join(ids) for name, ids in index.items() if ids}:
                pipeline.hset(BY_DATABASE, mapping=kept)
            if empty := [name for name, ids in index.items() if not ids]:
                pipeline.hdel(BY_DATABASE, *empty)
            pipeline.hset(STATE, "indexed", json.dumps(indexed))
            pipeline.hset(STATE, "observed_at", json.dumps(now))
            pipeline.execute()

    def _indexed(
        self, there: set[str], known: Sequence[str], entries: Mapping[str, Sequence[Any]]
    ) -> tuple[dict[str, list[str]], list[str]]:
        """What changes in the index by database, and the backups that are in it then: only those that have come or gone
        are looked into."""
        before = set(self.noted("indexed") or [])
        come, gone = (there & {*known, *entries}) - before, before - there
        holds = {
            backup: {row["database"] for row in entries.get(backup) or self.entries(backup)} for backup in come | gone
        }
        touched = sorted(set().union(*holds.values()))
        held = self.holding(touched)
        index: dict[str, list[str]] = {}
        for name in touched:
            more = {backup for backup in come if name in holds[backup]}
            index[name] = sorted((set(held.get(name, [])) | more) - gone, reverse=True)
        return index, sorted((before | come) - gone)

    def holding(self, databases: list[str] | None = None) -> dict[str, list[str]]:
        """Database -> the backups that hold it, newest first, of these (None: of all) that are in one."""
        return {name: row.split(" ") for name, row in fields(self._redis, BY_DATABASE, databases).items()}

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
