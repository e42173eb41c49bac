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
from tasks.verify import abandon_verify, run_verify
from tasks.wiring import Parts
from worker.core.errors import ReplicationError
from worker.core.health import NodeState
from worker.core.model import Route
from worker.couch.cluster import Cluster
from worker.ops import choices
from worker.ops.control import Control
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
    """How this database may travel. Whether somebody set it up one way is asked of a node and not of a cache: a sync
    that is a second too early must not carry back what was never to come back."""
    one_way = parts.settings.continuous_replication and _is_narrowed(parts, cluster, database)
    narrowed = frozenset({database}) if one_way else frozenset[str]()
    return route_of(rules_of(parts.settings), database, narrowed, len(cluster.names))


def _is_narrowed(parts: Parts, cluster: Cluster, database: str) -> bool:
    """By the first node that answers, healthy ones first: all have the same."""
    sweep = parts.seen.sweep() or {"nodes": []}
    healthy = {node["name"] for node in sweep["nodes"] if node["state"] == NodeState.HEALTHY}
    for name in sorted(cluster.names, key=lambda name: name not in healthy):
        try:
            cluster[name].capabilities()
            return choices.is_narrowed(cluster[name], database)
        except ReplicationError:
            continue
    return False  # nobody answers: there will be no sync either


def nothing_to_abandon(parts: Parts, cluster: Cluster, job: Job) -> list[str]:
    """A set-up leaves nothing running on the nodes."""
    return []


WORKS = {
    Kind.SYNC: Work(run_sync, abandon_sync),
    Kind.SETUP: Work(reconcile.run_setup, nothing_to_abandon),
    Kind.VERIFY: Work(run_verify, abandon_verify),
}
