"""How many documents of each database have a conflict, in Redis. See worker.core.conflicts.

What is told (the last whole count) and how far the counting has come are kept apart: while a database is read anew, on
another node perhaps, the count from before stands with its own time.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

import redis

from tasks.redis import fields, translated
from worker.core import conflicts
from worker.core.conflicts import Count, Counter

PREFIX = "nbr:seen:conflicts"
COUNTS = f"{PREFIX}:counts"  # hash: database -> JSON array of a Count
IDS = f"{PREFIX}:ids"  # hash: database -> JSON list of the first documents, where there are any
COUNTERS = f"{PREFIX}:counters"  # hash: database -> JSON of the Counter
CURSOR = f"{PREFIX}:cursor"  # the database that was looked at last
MOST_SHOWN = 100


class ConflictsSeen:
    """All methods raise tasks.redis.StoreUnavailable where Redis does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client  # see JobStore

    def save(self, database: str, so_far: Counter, *, whole: bool) -> None:
        """`whole`: the counter has just reached the end, so its count is told from now on."""
        count = conflicts.count_of(so_far) if whole else None
        with translated():
            pipeline = self._redis.pipeline()
            pipeline.hset(COUNTERS, database, json.dumps(conflicts.to_json(so_far)))
            if count is not None:
                row = [count.count, count.at_least, count.at, count.node, count.through]
                pipeline.hset(COUNTS, database, json.dumps(row))
                if so_far.ids:
                    pipeline.hset(IDS, database, json.dumps(sorted(so_far.ids)[:MOST_SHOWN]))
                else:
                    pipeline.hdel(IDS, database)
            pipeline.execute()

    def counters(self, databases: list[str]) -> dict[str, Counter]:
        """Of those of these databases that have one."""
        rows = fields(self._redis, COUNTERS, databases)
        found = {name: conflicts.from_json(json.loads(row)) for name, row in rows.items()}
        return {name: counter for name, counter in found.items() if counter is not None}

    def counts(self, databases: list[str] | None = None) -> dict[str, Count]:
        """Of these databases (None: of all) as far as they are known."""
        found = {}
        for name, row in fields(self._redis, COUNTS, databases).items():
            try:
                found[name] = Count(*json.loads(row))
            except TypeError:  # another version of ours wrote it
                continue
        return found

    def ids(self, database: str) -> list[str]:
        """The first of the documents that were counted."""
        with translated():
            row = self._redis.hget(IDS, database)
        return list(json.loads(row)) if row else []

    def forget(self, databases: Iterable[str]) -> None:
        gone = list(databases)
        if gone:
            with translated():
                pipeline = self._redis.pipeline()
                for key in (COUNTS, IDS, COUNTERS):
                    pipeline.hdel(key, *gone)
                pipeline.execute()

    def keep_databases(self, databases: Collection[str]) -> None:
        """Forget all others."""
        with translated():
            known = self._redis.hkeys(COUNTERS)
        self.forget(name for name in known if name not in databases)

    def cursor(self) -> str:
        with translated():
            return self._redis.get(CURSOR) or ""

    def save_cursor(self, database: str) -> None:
        with translated():
            self._redis.set(CURSOR, database)
