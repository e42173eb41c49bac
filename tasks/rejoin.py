"""The body of the rejoin job: set up what is missing, bring every database up to date, let the node in."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from tasks import judging
from tasks.away import away
from tasks.jobs import Job
from tasks.reconcile import wanted_of
from tasks.redis import StoreUnavailable
from tasks.replication import record_sync
from tasks.route import route_for
from tasks.verify import settled_of
from tasks.wiring import Parts
from worker.core.errors import NotFound, ReplicationError
from worker.core.health import NodeState, Verdict
from worker.couch.cluster import Cluster
from worker.ops.control import Control, Quiet
from worker.ops.links import stuck
from worker.ops.rejoin import Means, rejoin
from worker.ops.setup import setup
from worker.ops.sync_result import SyncResult

LINKS_PATIENCE = 15.0  # seconds; CouchDB starts a link within five
LOOK_EVERY = 1.0  # seconds


def run_rejoin(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    node = str(job.params["node"])
    if node not in cluster.names:
        raise NotFound(f"{node} is not one of the configured nodes: {', '.join(cluster.names)}", node=node)
    owed = verdict_of(parts, node)  # as it is now: what comes later is another debt
    try:
        result = _rejoin(parts, cluster, node, control, emptied=owed.debt is NodeState.REPLACED)
    except ReplicationError as error:
        _failed(parts, node, owed, job, error)
        raise
    with suppress(StoreUnavailable):
        if owed.debt is not None:
            parts.seen.pay(node, owed.debts)
        _note(parts, node, owed, None)
        parts.publisher.soon("sweep")
        parts.events.record(
            "node.rejoined",
            at=time.time(),
            severity="info",
            node=node,
            detail=f"{node} is up to date: {result['databases']} databases, {result['seconds']} s",
            job=job.id,
            seconds=result["seconds"],
        )
    return result


def _failed(parts: Parts, node: str, owed: Verdict, job: Job, error: ReplicationError) -> None:
    """Told once for each reason: it is tried again and again."""
    words = f"could not be brought up to date: {error.detail}"
    with suppress(StoreUnavailable):
        if parts.seen.rejoins().get(node, {}).get("note") != words:
            parts.events.record(
                "node.rejoin-failed",
                at=time.time(),
                severity="error",
                node=node,
                detail=f"{node} {words}",
                job=job.id,
                error=error.slug,
            )
    _note(parts, node, owed, words)


def verdict_of(parts: Parts, node: str) -> Verdict:
    for record in (parts.seen.sweep() or {"nodes": []})["nodes"]:
        if record["name"] == node:
            return judging.read(record)
    return Verdict(node)


def _rejoin(parts: Parts, cluster: Cluster, node: str, control: Control, *, emptied: bool) -> dict[str, Any]:
    gone = {name: why for name, why in away(parts, cluster).items() if name != node}
    told: dict[str, Any] = {}
    if parts.settings.continuous_replication:
        control.report("set up")
        told["set_up"] = _set_up(parts, cluster, node, control, gone)

    def synced(database: str, result: SyncResult) -> None:
        with suppress(StoreUnavailable):  # a note for the next pass: not worth the work
            record_sync(parts, database, result)

    means = Means(
        selected=parts.rules.selected,
        route_of=lambda database: route_for(parts, cluster, database),
        settled_of=lambda database, nodes: settled_of(parts, cluster, database, nodes),
        away=gone,
        hub=parts.seen.primary(),
        synced=synced,
    )
    done = rejoin(cluster, node, means, control, emptied=emptied).as_json()
    if parts.settings.continuous_replication:
        told["links_caught_up"] = _links_caught_up(parts, node, gone, control)
    return {**done, **told}


def _links_caught_up(parts: Parts, node: str, gone: Collection[str], control: Control) -> bool:
    """Wait until the links to and from the node are near their ends. Nothing is missing by now; but a link has a
    checkpoint of its own, and until it has passed what a sync has carried, nobody can tell whether it works."""
    control.report("links")
    began = time.time()
    parts.publisher.soon("links")
    while time.time() < began + LINKS_PATIENCE:
        control.check()
        summary = parts.replication.links_summary()
        if summary is not None and summary["observed_at"] > began:
            behind = {name: of for name, of in summary.get("behind", {}).items() if name not in gone}
            lags = [lag for source, lag in behind.get(node, {}).items() if source not in gone]
            lags += [of[node] for of in behind.values() if node in of]
            if all(lag is not None and lag <= parts.settings.ready_max_lag for lag in lags):
                return True
            parts.publisher.soon("links")
        time.sleep(LOOK_EVERY)
    return False


def _set_up(parts: Parts, cluster: Cluster, node: str, control: Control, gone: dict[str, str]) -> dict[str, Any]:
    """Databases, `_security` and links, as the next reconcile would make them; and links that gave up waiting for this
    node are started anew. What fails here fails for the reconcile too, which tells it."""
    asked = [name for name in cluster.names if name not in gone]
    kicks = stuck(cluster, asked, node, parts.settings.health_timeout)
    result = setup(cluster, wanted_of(parts, kicks=kicks), Quiet(control))
    return {"counts": result.counts(), "failures": result.applied.failures}


def _note(parts: Parts, node: str, owed: Verdict, note: str | None) -> None:
    """What the next verdict says of it."""
    with suppress(StoreUnavailable):
        last = parts.seen.rejoins().get(node, {})
        tries = int(last.get("tries", 0)) if last.get("debt") == owed.debts else 0
        record = {"debt": owed.debts, "tries": tries, "at": time.time(), "note": note}
        parts.seen.save_rejoin(node, record)
