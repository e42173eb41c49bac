"""A worker's parts on fakeredis, with what is published in the test's hands. Nothing is patched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import fakeredis
from celery import Celery

from config.settings import Settings, build
from tasks.backup_plan import plan_of
from tasks.backups_seen import BackupsSeen
from tasks.dirty import DirtySet
from tasks.events import Events
from tasks.finished import tell_finished
from tasks.in_force import InForce
from tasks.jobs import Job, Kind, Request, State, fingerprint
from tasks.lookup import Lookup
from tasks.observations import Observations
from tasks.publish import Publisher
from tasks.receivers import Receivers
from tasks.redis import StoreUnavailable
from tasks.replication_seen import ReplicationSeen
from tasks.store import JobStore
from tasks.submit import Jobs
from tasks.tallies import Tallies
from tasks.vaults import Vaults
from tasks.webhooks import Webhooks
from tasks.wiring import Parts

PASSWORD = "hunter2-secret"
NOW = 1_795_446_000.0


def settings(**more: Any) -> Settings:
    values = {
        "couchdb_url": "a=http://a.test:5984",
        "replication_nodes": "b=http://b.test:5984,c=http://c.test:5984",
        "couchdb_user": "admin",
        "couchdb_password": PASSWORD,
    }
    return build({**values, **more})


def sync(database: str = "pdfs", *, create_missing: bool = True) -> Request:
    return Request(Kind.SYNC, database, {"database": database, "create_missing": create_missing})


def setup(*names: str, **params: Any) -> Request:
    """As a person asks for it."""
    asked = {"databases": list(names) or None, "bidirectional": True, "dry_run": False, "asked": True}
    return Request(Kind.SETUP, names[0] if len(names) == 1 else None, {**asked, **params})


def job(request: Request) -> Job:
    """As a worker is given it."""
    return Job("id", request.kind, State.RUNNING, request.database, request.params, 0)


@dataclass(frozen=True)
class Another(Request):
    """A request that needs its database for itself, as a sync does, but is equal to no other."""

    @property
    def dedupe(self) -> str:
        return f"another:{fingerprint(self.params)}"


class FakePublisher(Publisher):
    """Remembers what would have been put on the queues. `away`: the broker does not answer."""

    def __init__(self) -> None:
        super().__init__(Celery(broker="memory://", set_as_current=False))
        self.sent: list[str] = []
        self.looks: list[tuple[str, str]] = []
        self.changes: list[tuple[str, str]] = []
        self.wanted_soon: list[str] = []
        self.depths: dict[str, int] = {}
        self.away = False
        self.on_job: Callable[[str], None] = lambda job_id: None

    def job(self, job_id: str, request: Request) -> None:
        if self.away:
            raise StoreUnavailable("the queue does not take messages")
        self.sent.append(job_id)
        self.on_job(job_id)

    def look(self, database: str, box: str) -> None:
        if self.away:
            raise StoreUnavailable("the queue does not take messages")
        self.looks.append((database, box))

    def on_change(self, database: str, token: str) -> None:
        if self.away:
            raise StoreUnavailable("the queue does not take messages")
        self.changes.append((database, token))

    def soon(self, task: str) -> None:
        if self.away:
            raise StoreUnavailable("the queue does not take messages")
        self.wanted_soon.append(task)

    def depth(self, queue: str) -> int:
        return self.depths.get(queue, 0)


@dataclass
class World:
    settings: Settings = field(default_factory=settings)
    lease_seconds: float = 15.0
    max_attempts: int = 3

    def __post_init__(self) -> None:
        self.redis = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
        self.publisher = FakePublisher()
        self.store = JobStore(
            self.redis, result_ttl=3_600, lease_seconds=self.lease_seconds, max_attempts=self.max_attempts
        )
        self.seen = Observations(self.redis)
        self.replication = ReplicationSeen(self.redis)
        self.dirty = DirtySet(self.redis, self.lease_seconds)
        self.tallies = Tallies(self.redis)
        self.jobs = Jobs(self.store, self.publisher.job, ended=self._ended)
        self.receivers = Receivers(self.redis, self.settings.secret_keys)
        self.events = Events(
            self.redis, Webhooks(self.settings, self.jobs, self.receivers).submit, self.settings.secrets
        )
        self.lookup = Lookup(self.seen, self.publisher.look)
        self.backups = BackupsSeen(self.redis)
        self.plan = plan_of(self.settings)
        self.vaults = Vaults(self.plan)
        self.in_force = InForce(self.settings, self.redis)

    def _ended(self, job: Job) -> None:
        self.tallies.job_ended(job)
        tell_finished(self.events, job, NOW)

    @property
    def parts(self) -> Parts:
        return Parts(
            settings=self.settings,
            redis=self.redis,
            celery=self.publisher._app,
            publisher=self.publisher,
            store=self.store,
            jobs=self.jobs,
            seen=self.seen,
            lookup=self.lookup,
            replication=self.replication,
            dirty=self.dirty,
            events=self.events,
            receivers=self.receivers,
            backups=self.backups,
            backup_plan=self.plan,
            vaults=self.vaults,
            in_force=self.in_force,
            tallies=self.tallies,
        )

    def queued(self, request: Request | None = None) -> str:
        """A job on the queue; what was published for it is forgotten."""
        job_id = self.jobs.submit(request or sync()).job.id
        self.publisher.sent.clear()
        return job_id

    def job(self, job_id: str) -> Job:
        found = self.store.get(job_id)
        assert found is not None
        return found
