"""Puts the parts together, once a process. Nothing is connected before it is used."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass

import redis
from celery import Celery

from config.celery import options
from config.settings import Settings, SettingsError
from tasks.backup_plan import BackupPlan, plan_of
from tasks.backups_seen import BackupsSeen
from tasks.dirty import DirtySet
from tasks.events import Events
from tasks.finished import tell_finished
from tasks.in_force import InForce
from tasks.jobs import Job
from tasks.lookup import Lookup
from tasks.observations import Observations
from tasks.publish import Publisher
from tasks.receivers import Receivers
from tasks.redis import WORKER_PATIENCE, connect
from tasks.replication_seen import ReplicationSeen
from tasks.rules import rules_of
from tasks.store import JobStore
from tasks.submit import Jobs
from tasks.tallies import Tallies
from tasks.vaults import Vaults
from tasks.webhooks import Webhooks
from worker.core.rules import Rules

NAME = "notebook-replication"


@dataclass(frozen=True)
class Parts:
    settings: Settings
    redis: redis.Redis
    celery: Celery
    publisher: Publisher
    store: JobStore
    jobs: Jobs
    seen: Observations
    lookup: Lookup
    replication: ReplicationSeen
    dirty: DirtySet
    events: Events
    backups: BackupsSeen
    backup_plan: BackupPlan
    vaults: Vaults
    in_force: InForce
    receivers: Receivers
    tallies: Tallies

    @functools.cached_property
    def probes(self) -> dict[str, tuple[float, bool]]:
        """Of this process: node -> when it was last asked for a sign of life (monotonic seconds), and whether it gave
        one (tasks.away)."""
        return {}

    @functools.cached_property
    def rules(self) -> Rules:
        """Put together once: every sync of what changed asks them, and each compiles its globs."""
        return rules_of(self.settings)


def build(settings: Settings, *, patience: float = WORKER_PATIENCE) -> Parts:
    """`patience`: seconds to wait for an answer of Redis. Raises SettingsError where no Redis is configured, and for a
    setting of backups that cannot be used."""
    url = settings.redis_url.get_secret_value()
    if not url:
        raise SettingsError("REDIS_URL: must name the Redis server of the jobs, like redis://127.0.0.1:6379/0")
    plan = plan_of(settings)
    client = connect(url, patience=patience)
    celery = Celery(NAME, set_as_current=False)
    celery.config_from_object(options(settings))
    publisher = Publisher(celery)
    store = JobStore(
        client,
        result_ttl=settings.result_ttl,
        lease_seconds=settings.job_lease_seconds,
        max_attempts=settings.job_max_attempts,
    )
    seen = Observations(client)
    tallies = Tallies(client)

    def ended(job: Job) -> None:
        tallies.job_ended(job)
        tell_finished(events, job, time.time())

    jobs = Jobs(store, publisher.job, ended=ended)
    receivers = Receivers(client, settings.secret_keys)
    events = Events(client, Webhooks(settings, jobs, receivers).submit, settings.secrets)
    return Parts(
        settings=settings,
        redis=client,
        celery=celery,
        publisher=publisher,
        store=store,
        jobs=jobs,
        seen=seen,
        lookup=Lookup(seen, publisher.look),
        replication=ReplicationSeen(client),
        dirty=DirtySet(client, settings.job_lease_seconds),
        backups=BackupsSeen(client),
        backup_plan=plan,
        vaults=Vaults(plan),
        in_force=InForce(settings, client),
        events=events,
        receivers=receivers,
        tallies=tallies,
    )
