"""What was last seen of the nodes, the databases, the links and our own processes, kept in Redis.

A cache, no more: every fact here is found again by the next sweep or pass. Each carries `observed_at`
(seconds since the epoch), and a reader that needs fresh knowledge looks at it.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import redis

from tasks.audits_seen import AuditsSeen
from tasks.conflicts_seen import ConflictsSeen
from tasks.figures_seen import FiguresSeen
from tasks.heard import Heard
from tasks.history_seen import HistorySeen
from tasks.redis import fields, translated
from worker.core.health import NodeState, Payment
from worker.core.register import Register, as_json, from_json
from worker.core.routing import Way

PREFIX = "nbr:seen:"
STANDINGS = f"{PREFIX}standings"  # hash: node -> JSON of its standing
MAINTENANCE = f"{PREFIX}maintenance"  # hash: node -> JSON {on, at, reason}
DATABASES = f"{PREFIX}databases"  # hash: name -> JSON list of the nodes that have it
LOOKED = f"{PREFIX}looked"  # hash: what was looked at -> when, beside the records, which may be large
LOOK_WAIT = 0.5  # seconds
FORGET_WORKER_AFTER = 3_600.0  # seconds
WORKER_SILENT_AFTER = 20.0  # seconds without a heartbeat until a worker is no longer counted


class Observations:
    """All methods raise tasks.redis.StoreUnavailable where Redis does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client  # see JobStore
        self.audits = AuditsSeen(client)
        self.figures = FiguresSeen(client)
        self.conflicts = ConflictsSeen(client)
        self.history = HistorySeen(client)
        self.heard = Heard(client)

    # --- the nodes, as the last sweep saw them

    def save_sweep(self, sweep: Mapping[str, Any], databases: Mapping[str, list[str]] | None) -> None:
        """`sweep`: {observed_at, cluster, nodes: [...]}. `databases`: name -> nodes
        that have it, or None where the sweep could not tell."""
        with translated():
            pipeline = self._redis.pipeline()
            pipeline.set(f"{PREFIX}sweep", json.dumps(sweep))
            pipeline.hset(LOOKED, "nodes", sweep["observed_at"])
            if databases is not None:
                pipeline.delete(DATABASES)
                if databases:
                    pipeline.hset(DATABASES, mapping={name: json.dumps(on) for name, on in databases.items()})
            pipeline.execute()

    def sweep(self) -> dict[str, Any] | None:
        with translated():
            raw = self._redis.get(f"{PREFIX}sweep")
        return json.loads(raw) if raw else None

    def register(self) -> Register | None:
        """What is remembered of the nodes; None where nothing is (the first start, or Redis was lost)."""
        with translated():
            raw = self._redis.get(f"{PREFIX}register")
        return from_json(json.loads(raw)) if raw else None

    def save_register(self, register: Register) -> None:
        with translated():
            self._redis.set(f"{PREFIX}register", json.dumps(as_json(register)))

    def register_copies(self) -> dict[str, str]:
        """Node -> digest of the register that it has a copy of."""
        with translated():
            return dict(self._redis.hgetall(f"{PREFIX}register-copies"))

    def save_register_copies(self, digests: Mapping[str, str]) -> None:
        if digests:
            with translated():
                self._redis.hset(f"{PREFIX}register-copies", mapping=dict(digests))

    def pay(self, node: str, payment: Payment) -> None:
        """Its data is what it should be (worker.core.health)."""
        with translated():
            self._redis.hset(f"{PREFIX}paid", node, json.dumps(vars(payment)))

    def payments(self) -> dict[str, Payment]:
        with translated():
            return {name: Payment(**json.loads(raw)) for name, raw in self._redis.hgetall(f"{PREFIX}paid").items()}

    def save_rejoin(self, node: str, record: Mapping[str, Any]) -> None:
        """How it goes with bringing a node up to date: {debt, tries, at, note}."""
        with translated():
            self._redis.hset(f"{PREFIX}rejoins", node, json.dumps(record))

    def rejoins(self) -> dict[str, dict[str, Any]]:
        with translated():
            return {name: json.loads(raw) for name, raw in self._redis.hgetall(f"{PREFIX}rejoins").items()}

    def primary(self) -> str | None:
        """The node that acts as the primary; None before the first sweep."""
        with translated():
            return self._redis.get(f"{PREFIX}primary")  # type: ignore[no-any-return]

    def save_primary(self, node: str) -> None:
        with translated():
            self._redis.set(f"{PREFIX}primary", node)

    def save_standings(self, standings: Mapping[str, Mapping[str, Any]]) -> None:
        """Node -> {state, reason, lag, way, way_reason, observed_at}: what proxies ask for, every second and of each
        node. `way`: see worker.core.routing."""
        with translated():
            pipeline = self._redis.pipeline()
            pipeline.delete(STANDINGS)
            if standings:
                pipeline.hset(STANDINGS, mapping={name: json.dumps(said) for name, said in standings.items()})
            pipeline.execute()

    def standing(self, node: str) -> dict[str, Any] | None:
        with translated():
            said, taken_out = self._redis.pipeline().hget(STANDINGS, node).hget(MAINTENANCE, node).execute()
        return _standing(said, taken_out) if said else None

    def standings(self) -> dict[str, dict[str, Any]]:
        with translated():
            said, taken_out = self._redis.pipeline().hgetall(STANDINGS).hgetall(MAINTENANCE).execute()
        return {name: _standing(raw, taken_out.get(name)) for name, raw in said.items()}

    def take_out(self, node: str, on: bool, at: float, reason: str | None = None) -> None:
        """A person takes the node out, or lets it in again. Counts at once, whoever sweeps."""
        with translated():
            self._redis.hset(MAINTENANCE, node, json.dumps({"on": on, "at": at, "reason": reason}))

    def maintenance(self) -> dict[str, dict[str, Any]]:
        """Node -> {on, at, reason}, of those of which a person has said something."""
        with translated():
            return {name: json.loads(raw) for name, raw in self._redis.hgetall(MAINTENANCE).items()}

    def answering(self, names: Iterable[str]) -> list[str] | None:
        """Those of these nodes that answered the last sweep, whatever is said of them; None before the first."""
        sweep = self.sweep()
        if sweep is None:
            return None
        found = {node["name"] for node in sweep["nodes"] if not node["failures"] and node["state"] != NodeState.UNKNOWN}
        return [name for name in names if name in found]

    def down(self) -> list[str]:
        """The nodes that the last sweep called down, taken out by a person or not."""
        nodes = (self.sweep() or {"nodes": []})["nodes"]
        return [node["name"] for node in nodes if node.get("verdict", {}).get("down")]

    def database_nodes(self, name: str) -> list[str]:
        """The nodes on which the last sweep (or a later look) saw the database."""
        with translated():
            raw = self._redis.hget(DATABASES, name)
        return list(json.loads(raw)) if raw else []

    def nodes_of(self, databases: list[str] | None = None) -> dict[str, list[str]]:
        """Database -> the nodes that have it, of these (None: of all) that any has."""
        return {name: json.loads(raw) for name, raw in fields(self._redis, DATABASES, databases).items()}

    def database_names(self) -> list[str]:
        with translated():
            return sorted(self._redis.hkeys(DATABASES))

    def database_count(self) -> int:
        with translated():
            return int(self._redis.hlen(DATABASES))

    # --- looks at one database, asked for by the API

    def new_look(self) -> str:
        """The name of a one-time letter box for the answer to one question."""
        return uuid.uuid4().hex

    def answer_look(self, box: str, database: str, found_on: list[str], unreachable: list[str]) -> None:
        with translated():
            pipeline = self._redis.pipeline()
            if found_on:
                pipeline.hset(DATABASES, database, json.dumps(found_on))
            pipeline.rpush(f"{PREFIX}look:{box}", json.dumps({"found_on": found_on, "unreachable": unreachable}))
            pipeline.expire(f"{PREFIX}look:{box}", 10)
            pipeline.execute()

    def await_look(self, box: str, seconds: float) -> dict[str, list[str]] | None:
        """{found_on, unreachable}, or None where no worker answered in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            # in short waits, because a longer one than the client's patience looks like a hung Redis
            with translated():
                answer = self._redis.blpop([f"{PREFIX}look:{box}"], timeout=LOOK_WAIT)
            if answer:
                return dict(json.loads(answer[1]))
        return None

    # --- what each database's sequences were after its last sync

    def record_sync(
        self, database: str, sequences: Mapping[str, str], at: float, *, moved: bool = False, refused: int = 0
    ) -> None:
        """`moved`: the sync carried something. `refused`: write failures in the whole history of its links."""
        moved_at = at if moved else (self.synced(database) or {}).get("moved_at")
        record = {"sequences": dict(sequences), "at": at, "moved_at": moved_at, "refused": refused}
        with translated():
            self._redis.hset(f"{PREFIX}synced", database, json.dumps(record))

    def synced(self, database: str) -> dict[str, Any] | None:
        """{sequences: {node: update_seq}, at, moved_at, refused} of the last sync that left it in step; None where
        there was none."""
        return self.synced_of([database]).get(database)

    def synced_of(self, databases: list[str]) -> dict[str, dict[str, Any]]:
        """The same of several, of those that have one."""
        return {name: json.loads(raw) for name, raw in fields(self._redis, f"{PREFIX}synced", databases).items()}

    def synced_names(self) -> set[str]:
        with translated():
            return set(self._redis.hkeys(f"{PREFIX}synced"))

    def syncs(self) -> dict[str, dict[str, Any]]:
        """Database -> what `synced` says."""
        return {name: json.loads(raw) for name, raw in fields(self._redis, f"{PREFIX}synced", None).items()}

    def forget_syncs(self, databases: Iterable[str]) -> None:
        names = list(databases)
        if names:
            with translated():
                self._redis.hdel(f"{PREFIX}synced", *names)

    def save_pass(self, found: Mapping[str, Any]) -> None:
        """What the last periodic pass found: {changed: {database: nodes}, lag: {database: {node: changes}},
        in_step_count, unseen: [node], observed_at}."""
        with translated():
            pipeline = self._redis.pipeline()
            pipeline.set(f"{PREFIX}pass", json.dumps(found))
            pipeline.hset(LOOKED, "databases", found["observed_at"])
            pipeline.execute()

    def last_pass(self) -> dict[str, Any] | None:
        with translated():
            raw = self._redis.get(f"{PREFIX}pass")
        return json.loads(raw) if raw else None

    def looked(self) -> dict[str, float]:
        """`nodes`, `databases` (the last pass) and `links` -> when they were looked at last; without those that never
        were."""
        with translated():
            return {what: float(at) for what, at in self._redis.hgetall(LOOKED).items()}

    # --- our own processes

    def worker_alive(self, name: str, now: float) -> None:
        with translated():
            self._redis.zadd(f"{PREFIX}workers", {name: now})
            # by a worker's own clock and with room, so that a reader whose clock is off cannot erase the living
            self._redis.zremrangebyscore(f"{PREFIX}workers", "-inf", now - FORGET_WORKER_AFTER)

    def worker_gone(self, name: str) -> None:
        with translated():
            self._redis.zrem(f"{PREFIX}workers", name)

    def workers(self, now: float) -> dict[str, float]:
        """Live workers and when each was last heard of."""
        with translated():
            return dict(
                self._redis.zrangebyscore(f"{PREFIX}workers", now - WORKER_SILENT_AFTER, "+inf", withscores=True)
            )

    def tick(self, now: float) -> None:
        """Beat is alive: one of its entries has just run."""
        with translated():
            self._redis.set(f"{PREFIX}beat", now)

    def last_tick(self) -> float | None:
        with translated():
            raw = self._redis.get(f"{PREFIX}beat")
        return float(raw) if raw else None


def _standing(said: str, taken_out: str | None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said)
    if taken_out and json.loads(taken_out)["on"]:
        return {**found, "state": NodeState.MAINTENANCE.value, "way": Way.DRAIN.value}
    return found
