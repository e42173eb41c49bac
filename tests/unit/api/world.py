"""An API on a real job store over fakeredis, with everything beyond it in the test's hands. Nothing is patched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import fakeredis
from flask import Flask
from flask.testing import FlaskClient

from api.app import create_app
from config.settings import Settings, build
from tasks.jobs import Job, Kind, Request, State
from tasks.lookup import Lookup
from tasks.observations import Observations
from tasks.redis import connect
from tasks.store import JobStore
from tasks.submit import Jobs

TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PASSWORD = "couch-hunter2-secret"
NODES = {
    "couchdb_url": f"http://admin:{PASSWORD}@127.0.0.1:5984",
    "replication_nodes": "replica1=http://127.0.0.1:5985|http://couchdb-replica1:5984,http://127.0.0.1:5986",
}


def settings(**more: Any) -> Settings:
    return build({**NODES, "api_threads": 4, **more})


@dataclass
class World:
    """`on_publish` is run for each message that goes out; `look` answers for the workers: (found on, unreachable)."""

    settings: Settings = field(default_factory=settings)
    on_publish: Callable[[str, Request], None] = lambda job_id, request: None
    look: Callable[[str], tuple[list[str], list[str]] | None] = lambda database: ([], [])
    keep_alive_seconds: float = 15.0
    now: float = 1_795_446_000.123
    published: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        redis = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
        self.store = _store(redis)
        self.seen = Observations(redis)
        self.jobs = Jobs(self.store, self._publish)
        self.app = self._app(self.jobs, self.seen)
        self.client = self.app.test_client()

    def _app(self, jobs: Jobs, seen: Observations) -> Flask:
        return create_app(
            self.settings,
            jobs,
            seen,
            Lookup(seen, self._ask),
            clock=lambda: self.now,
            keep_alive_seconds=self.keep_alive_seconds,
        )

    def without_redis(self) -> FlaskClient:
        """The same API with its Redis at a port where nothing listens."""
        redis = connect("redis://127.0.0.1:1/0")
        return self._app(Jobs(_store(redis), self._publish), Observations(redis)).test_client()

    def _publish(self, job_id: str, request: Request) -> None:
        self.published.append(job_id)
        self.on_publish(job_id, request)

    def _ask(self, database: str, box: str) -> None:
        answer = self.look(database)
        if answer is not None:
            self.seen.answer_look(box, database, *answer)

    # --- what workers do

    def databases(self, *names: str) -> None:
        self.save_sweep(databases={name: ["primary", "replica1"] for name in names})

    def save_sweep(self, databases: dict[str, list[str]] | None = None, **more: Any) -> None:
        self.seen.save_sweep({**sweep(self.now), **more}, databases)

    def alive(self) -> None:
        self.seen.worker_alive("worker-1", self.now)
        self.seen.tick(self.now)

    def start(self, job_id: str) -> int:
        return self.store.claim(job_id, "nonce", self.now).token

    def finish(self, job_id: str, result: dict[str, Any] | None = None) -> None:
        self.store.finish(job_id, self.start(job_id), State.SUCCEEDED, self.now, result=result or {"verified": True})

    # --- short ways

    def sync(self, database: str = "pdfs", **headers: str) -> Any:
        self.seen.answer_look("unused", database, ["primary"], [])
        return self.client.post("/api/replication/sync", json={"database": database}, headers=headers)

    def queued(self, database: str = "pdfs") -> Job:
        return self.jobs.submit(Request(Kind.SYNC, database, {"database": database})).job


def _store(redis: Any) -> JobStore:
    return JobStore(redis, result_ttl=3600, lease_seconds=15, max_attempts=3)


def sweep(now: float) -> dict[str, Any]:
    """As a worker writes it after all is well on two nodes, and the third is down."""

    def node(name: str, port: int, state: str, reason: str | None) -> dict[str, Any]:
        up = state == "healthy"
        return {
            "name": name,
            "url": f"http://127.0.0.1:{port}",
            "state": state,
            "since": now - 60,
            "reason": reason,
            "latency_ms": 1.5 if up else None,
            "version": "3.5.0" if up else None,
            "uuid": None,
            "kind": "couchdb",
            "lag": 0 if up else None,
            "observed_at": now - 1,
        }

    return {
        "observed_at": now - 1,
        "cluster": "degraded",
        "mode": "continuous",
        "mode_reason": "the nodes have a scheduler",
        "nodes": [
            node("primary", 5984, "healthy", None),
            node("replica1", 5985, "healthy", None),
            node("replica2", 5986, "down", "unreachable: connection refused"),
        ],
        "links": [
            {
                "database": "pdfs",
                "source": "primary",
                "target": "replica1",
                "state": "running",
                "lag": 3,
                "last_error": None,
                "observed_at": now - 1,
            }
        ],
    }
