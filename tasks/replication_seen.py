"""What was last seen of replication itself: the plan, the links, the syncs of what changed, the canary.

A cache like tasks.observations: wiped, it is found again by the next reconcile, look at the links, and periodic pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import redis

from tasks.observations import LOOKED
from tasks.redis import fields, translated
from worker.core.standing import DatabaseStanding, DatabaseState, standing

PREFIX = "nbr:seen:"
LINKS = f"{PREFIX}links"  # hash: database -> JSON list of its links
STANDINGS = f"{PREFIX}link-standings"  # hash: database -> JSON array [state, lag], what its links come to
FAILURES = f"{PREFIX}on-change-failures"  # hash: database -> JSON {type, detail, at}
WRITES = f"{PREFIX}canary-writes"  # hash: node -> JSON {failure, reason, at} of its last canary write, if that failed
KICKS = f"{PREFIX}kicks"  # hash: id of a link's document -> JSON {count, at}
WATCHERS = f"{PREFIX}watchers"  # hash: name -> JSON {at, leads, feeds}
WATCHER_SILENT_AFTER = 20.0  # seconds until one is no longer counted; it tells every two
FORGET_WATCHER_AFTER = 3_600.0  # seconds


class ReplicationSeen:
    """All methods raise tasks.redis.StoreUnavailable where Redis does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client  # see JobStore

    # --- what the last reconcile found

    def save_reconcile(self, record: Mapping[str, Any]) -> None:
        """{observed_at, automatic, mode, reason, modes, steps, removed, narrowed, configuration}."""
        self._save("reconcile", record)

    def reconcile(self) -> dict[str, Any] | None:
        return self._load("reconcile")

    def save_attempt(self, attempt: Mapping[str, Any]) -> None:
        """Of a plan that is being carried out: {plan, tries, at}."""
        self._save("reconcile-attempt", attempt)

    def attempt(self) -> dict[str, Any] | None:
        return self._load("reconcile-attempt")

    # --- the links

    def save_links(self, links: Mapping[str, list[dict[str, Any]]], summary: Mapping[str, Any]) -> None:
        """`links`: database -> its links. `summary`: {observed_at, states, lag, broken}."""
        self._replace(LINKS, {name: json.dumps(found) for name, found in links.items()})
        told = {name: standing((link["state"], link["lag"]) for link in found) for name, found in links.items()}
        self._replace(STANDINGS, {name: json.dumps([one.state.value, one.lag]) for name, one in told.items()})
        self._save("links-summary", summary)
        with translated():
            self._redis.hset(LOOKED, "links", summary["observed_at"])

    def links(self, database: str) -> list[dict[str, Any]]:
        with translated():
            raw = self._redis.hget(LINKS, database)
        return list(json.loads(raw)) if raw else []

    def links_of(self, databases: list[str]) -> dict[str, list[dict[str, Any]]]:
        return {name: json.loads(raw) for name, raw in fields(self._redis, LINKS, databases).items()}

    def all_links(self) -> dict[str, list[dict[str, Any]]]:
        return {name: json.loads(raw) for name, raw in fields(self._redis, LINKS, None).items()}

    def linked_databases(self) -> list[str]:
        with translated():
            return sorted(self._redis.hkeys(LINKS))

    def link_standings(self, databases: list[str] | None = None) -> dict[str, DatabaseStanding]:
        """What the links of a database come to, of these (None: of all) that have links."""
        told = {name: json.loads(raw) for name, raw in fields(self._redis, STANDINGS, databases).items()}
        return {name: DatabaseStanding(DatabaseState(state), lag) for name, (state, lag) in told.items()}

    def links_summary(self) -> dict[str, Any] | None:
        return self._load("links-summary")

    def kicks(self) -> dict[str, dict[str, float]]:
        with translated():
            return {name: json.loads(raw) for name, raw in self._redis.hgetall(KICKS).items()}

    def save_kicks(self, kicks: Mapping[str, Mapping[str, float]], forgotten: Iterable[str]) -> None:
        gone = list(forgotten)
        with translated():
            pipeline = self._redis.pipeline()
            if gone:
                pipeline.hdel(KICKS, *gone)
            if kicks:
                pipeline.hset(KICKS, mapping={name: json.dumps(kick) for name, kick in kicks.items()})
            pipeline.execute()

    def save_wanted_kicks(self, documents: list[str]) -> None:
        """Links that the next reconcile is to start anew."""
        self._save("wanted-kicks", {"documents": documents})

    def want_kicks(self, documents: Iterable[str]) -> None:
        """These too, besides those that wait for it already."""
        self.save_wanted_kicks(sorted({*documents, *self.wanted_kicks()}))

    def wanted_kicks(self) -> list[str]:
        return list((self._load("wanted-kicks") or {}).get("documents", []))

    # --- syncs of what changed

    def on_change_failed(self, database: str, kind: str, detail: str, at: float) -> None:
        with translated():
            self._redis.hset(FAILURES, database, json.dumps({"type": kind, "detail": detail, "at": at}))

    def on_change_worked(self, *databases: str) -> None:
        if databases:
            with translated():
                self._redis.hdel(FAILURES, *databases)

    def on_change_failure(self, database: str) -> str | None:
        """What its last sync failed with (the error's slug), or None."""
        with translated():
            raw = self._redis.hget(FAILURES, database)
        return str(json.loads(raw)["type"]) if raw else None

    def on_change_failures(self) -> dict[str, dict[str, Any]]:
        with translated():
            return {name: json.loads(raw) for name, raw in self._redis.hgetall(FAILURES).items()}

    # --- databases whose _security differs between nodes

    def save_security(self, differing: Mapping[str, list[str]], cursor: str, at: float) -> None:
        self._save("security", {"differing": dict(differing), "cursor": cursor, "observed_at": at})

    def security(self) -> dict[str, Any] | None:
        return self._load("security")

    # --- the canary

    def save_canary(self, record: Mapping[str, Any]) -> None:
        self._save("canary", record)

    def canary(self) -> dict[str, Any] | None:
        return self._load("canary")

    def save_canary_write(self, node: str, failed: Mapping[str, Any] | None) -> None:
        """Whether this node took the last canary write: None, or {failure, reason, at} where it did not."""
        with translated():
            if failed is None:
                self._redis.hdel(WRITES, node)
            else:
                self._redis.hset(WRITES, node, json.dumps(failed))

    def canary_write(self, node: str) -> dict[str, Any] | None:
        with translated():
            raw = self._redis.hget(WRITES, node)
        return dict(json.loads(raw)) if raw else None

    # --- the watchers

    def watcher_alive(self, name: str, record: Mapping[str, Any]) -> None:
        silent = [other for other, told in self._watchers().items() if record["at"] - told["at"] > FORGET_WATCHER_AFTER]
        with translated():
            if silent:
                self._redis.hdel(WATCHERS, *silent)
            self._redis.hset(WATCHERS, name, json.dumps(record))

    def watcher_gone(self, name: str) -> None:
        with translated():
            self._redis.hdel(WATCHERS, name)

    def watchers(self, now: float) -> dict[str, dict[str, Any]]:
        """Live ones: name -> {at, leads, feeds: {node: since when, or null}}."""
        return {name: told for name, told in self._watchers().items() if now - told["at"] <= WATCHER_SILENT_AFTER}

    def _watchers(self) -> dict[str, dict[str, Any]]:
        with translated():
            return {name: json.loads(raw) for name, raw in self._redis.hgetall(WATCHERS).items()}

    def _save(self, name: str, record: Mapping[str, Any]) -> None:
        with translated():
            self._redis.set(f"{PREFIX}{name}", json.dumps(record))

    def _load(self, name: str) -> dict[str, Any] | None:
        with translated():
            raw = self._redis.get(f"{PREFIX}{name}")
        return dict(json.loads(raw)) if raw else None

    def _replace(self, key: str, mapping: Mapping[str, str]) -> None:
        with translated():
            pipeline = self._redis.pipeline()
            pipeline.delete(key)
            if mapping:
                pipeline.hset(key, mapping=mapping)
            pipeline.execute()
