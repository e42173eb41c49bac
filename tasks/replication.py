"""The bodies of the replication jobs: from a job's parameters to an operation, and its result back."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from tasks import reconcile
from tasks.jobs import Job, Kind
from tasks.redis import StoreUnavailable
from tasks.rules import route_of, rules_of
from tasks.runner import Work
from tasks.wiring import Parts
from worker.core.model import Route
from worker.couch.cluster import Cluster
from worker.ops import choices
from worker.ops.control import Control
from worker.ops.look import LOOK_TIMEOUT
from worker.ops.parallel import each
from worker.ops.sync import cancel_sync, sync
from worker.ops.sync_result import SyncResult


def run_sync(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    database = str(job.params["database"])
    route = route_for(parts, cluster, database)
    result = sync(cluster, database, control, create_missing=bool(job.params["create_missing"]), route=route)
    if result.caught_up:
        with suppress(StoreUnavailable):  # a note for the next pass: not worth the sync
            record_sync(parts, database, result)
    return result.as_json()


def abandon_sync(parts: Parts, cluster: Cluster, job: Job) -> list[str]:
    database = str(job.params["database"])
    return cancel_sync(cluster, database, route_for(parts, cluster, database))


def record_sync(parts: Parts, database: str, result: SyncResult) -> None:
    """Note what the nodes' sequences were, so that nothing is done until one of them moves."""
    parts.seen.record_sync(database, result.sequences, time.time())


def route_for(parts: Parts, cluster: Cluster, database: str) -> Route:
    """How this database may travel. Databases that were set up one way are known from the last reconcile, and before
    the first one from the nodes themselves."""
    known = parts.replication.reconcile()
    if not parts.settings.continuous_replication:
        narrowed: frozenset[str] = frozenset()  # nothing travels by itself, so nothing was set up one way
    elif known is not None:
        narrowed = frozenset(known["narrowed"])
    else:
        outcomes = each(cluster.names, lambda name: _narrowed(cluster, name)).values()
        narrowed = frozenset().union(*(outcome.value or frozenset() for outcome in outcomes))
    return route_of(rules_of(parts.settings), database, narrowed, len(cluster.names))


def _narrowed(cluster: Cluster, name: str) -> frozenset[str]:
    cluster[name].capabilities()
    return choices.read(cluster[name], read_timeout=LOOK_TIMEOUT)


def nothing_to_abandon(parts: Parts, cluster: Cluster, job: Job) -> list[str]:
    """A set-up leaves nothing running on the nodes."""
    return []


WORKS = {Kind.SYNC: Work(run_sync, abandon_sync), Kind.SETUP: Work(reconcile.run_setup, nothing_to_abandon)}
