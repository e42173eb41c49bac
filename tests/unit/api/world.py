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
from tasks.audit_log import AuditLog
from tasks.backups_seen import BackupsSeen
from tasks.dirty import DirtySet
from tasks.events import Events
from tasks.jobs import Job, Kind, Request, State
from tasks.lookup import Lookup
from tasks.observations import Observations
from tasks.receivers import Receivers
from tasks.redis import StoreUnavailable, connect
from tasks.replication_seen import ReplicationSeen
from tasks.sign_ins import SignIns
from tasks.store import JobStore
from tasks.submit import Jobs
from tasks.tallies import Tallies
from tasks.workload import Workload

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
    wanted_soon: list[str] = field(default_factory=list)
    redis: Any = field(
        default_factory=lambda: fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
    )

    def __post_init__(self) -> None:
        redis = self.redis
        self.store = _store(redis)
        self.seen = Observations(redis)
        self.replication = ReplicationSeen(redis)
        self.events = Events(redis)
        self.jobs = Jobs(self.store, self._publish)
        self.backups = BackupsSeen(redis)
        self.audit = AuditLog(redis)
        self.sign_ins = SignIns(redis)
        self.receivers = Receivers(redis, self.settings.secret_keys)
        self.depths: dict[str, int] | None = {}
        self.workload = self._workload(redis)
        self.app = self._app(
            self.jobs,
            self.seen,
            self.replication,
            self.events,
            self.backups,
            self.audit,
            self.sign_ins,
            self.receivers,
            self.workload,
        )
        self.client = self.app.test_client()

    def _app(
        self,
        jobs: Jobs,
        seen: Observations,
        replication: ReplicationSeen,
        events: Events,
        backups: BackupsSeen,
        audit: AuditLog,
        sign_ins: SignIns,
        receivers: Receivers,
        workload: Workload,
    ) -> Flask:
        return create_app(
            self.settings,
            jobs,
            seen,
            Lookup(seen, self._ask),
            replication,
            self.wanted_soon.append,
            events,
            backups,
            audit,
            sign_ins,
            receivers,
            workload,
            clock=lambda: self.now,
            keep_alive_seconds=self.keep_alive_seconds,
        )

    def without_redis(self) -> FlaskClient:
        """The same API with its Redis at a port where nothing listens."""
        redis = connect("redis://127.0.0.1:1/0")
        jobs = Jobs(_store(redis), self._publish)
        seen = Observations(redis), ReplicationSeen(redis), Events(redis), BackupsSeen(redis)
        more = AuditLog(redis), SignIns(redis), Receivers(redis, ()), self._workload(redis)
        return self._app(jobs, *seen, *more).test_client()

    def _workload(self, redis: Any) -> Workload:
        return Workload(Tallies(redis), DirtySet(redis, 15), self._depths)

    def _depths(self) -> dict[str, int]:
        if self.depths is None:
            raise StoreUnavailable("the queue does not answer")
        return self.depths

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

    def save_links(self, *links: dict[str, Any], lag: dict[str, int | None] | None = None) -> None:
        by_database: dict[str, list[dict[str, Any]]] = {}
        for one in links:
            by_database.setdefault(one["database"], []).append(one)
        summary = {"states": {}, "lag": lag or {}, "broken": 0, "observed_at": self.now - 1}
        self.replication.save_links(by_database, summary)

    def save_reconcile(self, **more: Any) -> None:
        self.replication.save_reconcile({**reconcile(self.now), **more})

    def save_pass(self, **more: Any) -> None:
        found = {"changed": {}, "lag": {}, "in_step_count": 0, "unseen": [], "observed_at": self.now - 1}
        self.seen.save_pass({**found, **more})

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
            "failure": None if up else "refused",
            "failures": 0 if up else 3,
            "latency_ms": 1.5 if up else None,
            "version": "3.5.0" if up else None,
            "uuid": None,
            "kind": "couchdb",
            "observed_at": now - 1,
        }

    return {
        "observed_at": now - 1,
        "cluster": "degraded",
        "nodes": [
            node("primary", 5984, "healthy", None),
            node("replica1", 5985, "healthy", None),
            node("replica2", 5986, "down", "unreachable: connection refused"),
        ],
    }


def reconcile(now: float) -> dict[str, Any]:
    """As a worker writes it after a look at CouchDB nodes on which all is as it should be."""
    options = {"max_jobs": "500", "startup_jitter": "5000"}
    return {
        "observed_at": now - 1,
        "automatic": "continuous",
        "mode": "continuous",
        "reason": "auto: 2 replication jobs on replica1 fit: 250 of its max_jobs may be taken",
        "modes": {"continuous": 1},
        "steps": 0,
        "removed": {},
        "narrowed": [],
        "configuration": {"primary": options, "replica1": options},
        "schedulers": True,
    }


def link(now: float, database: str = "pdfs", **more: Any) -> dict[str, Any]:
    """As a worker writes it of one that is a little behind."""
    return {
        "database": database,
        "source": "primary",
        "target": "replica1",
        "state": "running",
        "since": now - 60,
        "lag": 3,
        "last_moved_at": now - 2,
        "behind_since": now - 1,
        "doc_write_failures": 0,
        "last_error": None,
        "error_kind": None,
        "remedy": None,
        "observed_at": now - 1,
        "look": {"state": "running", "lag": 3},
        **more,
    }
