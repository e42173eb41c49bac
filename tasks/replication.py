"""The bodies of the replication jobs: from a job's parameters to an operation, and its result back."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from tasks.health import sweep_now
from tasks.jobs import Job, Kind, Request
from tasks.redis import StoreUnavailable
from tasks.runner import Work
from tasks.submit import BeingMade
from tasks.verify import abandon_verify, run_verify
from tasks.wiring import Parts
from worker.core.topology import Topology
from worker.couch.cluster import Cluster
from worker.ops.control import Control
from worker.ops.drift import find_drift
from worker.ops.setup import Wanted, setup
from worker.ops.sync import cancel_sync, sync


def run_sync(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    database = str(job.params["database"])
    result = sync(cluster, database, control, create_missing=bool(job.params["create_missing"]))
    if result.caught_up:
        with suppress(StoreUnavailable):  # a note for the next pass: not worth the sync
            parts.seen.record_sync(database, result.sequences, time.time())
    return result.as_json()


def abandon_sync(cluster: Cluster, job: Job) -> list[str]:
    return cancel_sync(cluster, str(job.params["database"]))


def run_setup(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    settings = parts.settings
    wanted = Wanted(
        databases=job.params["databases"],
        bidirectional=bool(job.params["bidirectional"]),
        topology=Topology(settings.replication_topology),
        continuous=settings.continuous_replication,
        include=settings.include,
        exclude=settings.exclude,
    )
    result = setup(cluster, wanted, control)
    with suppress(StoreUnavailable):  # what was made is to be seen now, not after the next sweep
        sweep_now(parts, cluster)
    return result.as_json()


def nothing_to_abandon(cluster: Cluster, job: Job) -> list[str]:
    """Setup leaves nothing running on the nodes."""
    return []


WORKS = {
    Kind.SYNC: Work(run_sync, abandon_sync),
    Kind.SETUP: Work(run_setup, nothing_to_abandon),
    Kind.VERIFY: Work(run_verify, abandon_verify),
}


def sync_request(database: str, *, create_missing: bool) -> Request:
    return Request(Kind.SYNC, database, {"database": database, "create_missing": create_missing})


def run_drift(parts: Parts, cluster: Cluster) -> None:
    """The periodic pass: submit a sync of every database that changed since it was last in step."""
    sweep = parts.seen.sweep()
    if sweep is None or sweep["mode"] != "periodic-pass":
        return
    recorded = parts.seen.syncs()
    sequences = {database: entry["sequences"] for database, entry in recorded.items()}
    drift = find_drift(cluster, sequences, parts.settings.include, parts.settings.exclude)
    parts.seen.save_pass({"changed": drift.changed, "in_step": drift.in_step, "observed_at": time.time()})
    for database in drift.changed:
        with suppress(BeingMade):  # an equal request is on its way; the next pass looks again
            parts.jobs.submit(sync_request(database, create_missing=False))
