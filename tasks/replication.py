"""The bodies of the replication jobs: from a job's parameters to an operation, and its result back."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from tasks.away import away
from tasks.jobs import Job
from tasks.redis import StoreUnavailable
from tasks.route import route_for
from tasks.wiring import Parts
from worker.couch.cluster import Cluster
from worker.ops.control import Control
from worker.ops.sync import cancel_sync, sync
from worker.ops.sync_result import SyncResult


def run_sync(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    database = str(job.params["database"])
    route = route_for(parts, cluster, database)
    result = sync(
        cluster,
        database,
        control,
        create_missing=bool(job.params["create_missing"]),
        route=route,
        away=away(parts, cluster),
        hub=parts.seen.primary(),
    )
    if result.caught_up:
        with suppress(StoreUnavailable):  # a note for the next pass: not worth the sync
            record_sync(parts, database, result)
    return result.as_json()


def abandon_sync(parts: Parts, cluster: Cluster, job: Job) -> list[str]:
    database = str(job.params["database"])
    return cancel_sync(cluster, database, route_for(parts, cluster, database))


def record_sync(parts: Parts, database: str, result: SyncResult, *, still_refused: bool = False) -> None:
    """Note what the nodes' sequences were, so that nothing is done until one of them moves. `still_refused`: documents
    that a target refused earlier are missing still, and stay told."""
    refused = sum(result.refused.values())
    parts.seen.record_sync(database, result.sequences, time.time(), moved=moved(result), refused=refused)
    if not result.missing and not still_refused:
        parts.replication.on_change_worked(database)


def moved(result: SyncResult) -> bool:
    """Whether it carried something."""
    return any(pull.docs_written for pull in result.pulls)
