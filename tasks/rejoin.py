"""The body of the rejoin job: have set up what is missing, bring every database up to date, let the node in."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from tasks import judging
from tasks.away import away
from tasks.health import sweep_now
from tasks.jobs import Job, Kind, Request, State
from tasks.reconcile import AUTOMATIC, wanted_of
from tasks.redis import StoreUnavailable
from tasks.replication import record_sync
from tasks.route import route_for
from tasks.wiring import Parts
from worker.core.errors import NotCaughtUp, NotFound, ReplicationError
from worker.core.health import NodeState, Payment, Verdict
from worker.core.plan import Plan
from worker.core.redact import scrub_all
from worker.couch.cluster import Cluster
from worker.ops.control import Control, Quiet
from worker.ops.links import stuck
from worker.ops.own import ensure_own_database
from worker.ops.rejoin import Means, rejoin
from worker.ops.setup import look
from worker.ops.sync_result import SyncResult

LINKS_PATIENCE = 15.0  # seconds; CouchDB starts a link within five
SET_UP_PATIENCE = 60.0  # seconds until a set-up has found a free worker, and is done
LOOK_EVERY = 0.5  # seconds


def run_rejoin(parts: Parts, cluster: Cluster, job: Job, control: Control) -> dict[str, Any]:
    node = str(job.params["node"])
    if node not in cluster.names:
        raise NotFound(f"{node} is not one of the configured nodes: {', '.join(cluster.names)}", node=node)
    if job.params["asked"]:
        sweep_now(parts, cluster)  # a person may know of something that no sweep has seen yet
    owed = verdict_of(parts, node)  # as it is now: what comes later is another debt
    try:
        # who was brought up to date is who answered before anything was done
        uuid = cluster[node].identity(within=parts.settings.health_timeout).uuid
        result = _rejoin(parts, cluster, node, control, emptied=owed.debt is NodeState.REPLACED)
    except ReplicationError as error:
        _failed(parts, node, owed, job, error)
        raise
    with suppress(StoreUnavailable):
        if owed.debt_at is not None:
            parts.seen.pay(node, Payment(owed.debt_at, uuid))
        _note(parts, node, owed, None)
        parts.publisher.soon("sweep")
        _tell(parts, node, job, result)
    return result


def verdict_of(parts: Parts, node: str) -> Verdict:
    for record in (parts.seen.sweep() or {"nodes": []})["nodes"]:
        if record["name"] == node:
            return judging.read(record)
    return Verdict(node)


def _rejoin(parts: Parts, cluster: Cluster, node: str, control: Control, *, emptied: bool) -> dict[str, Any]:
    gone = {name: why for name, why in away(parts, cluster).items() if name != node}
    deleted: Collection[str] | None = None
    if parts.settings.continuous_replication:
        deleted = _set_up(parts, cluster, node, control, gone)
    elif emptied:
        ensure_own_database(cluster[node])

    def synced(database: str, result: SyncResult) -> None:
        with suppress(StoreUnavailable):  # a note for the next pass: not worth the work
            record_sync(parts, database, result)

    means = Means(
        selected=parts.rules.selected,
        route_of=lambda database: route_for(parts, cluster, database),
        deleted=deleted,
        recorded={database: entry["sequences"] for database, entry in parts.seen.syncs().items()},
        away=gone,
        hub=parts.seen.primary(),
        synced=synced,
    )
    done = rejoin(cluster, node, means, control, emptied=emptied).as_json()
    if parts.settings.continuous_replication:
        done["links_caught_up"] = _links_caught_up(parts, cluster, node, gone, control)
    return done


def _set_up(parts: Parts, cluster: Cluster, node: str, control: Control, gone: Collection[str]) -> Collection[str]:
    """Have databases, `_security` and links made that it lacks, and links started anew that gave up waiting for it. By
    a set-up like any other: two at once would be in each other's way. Returns the databases that somebody deleted on
    this node. Raises NotCaughtUp."""
    control.report("set up")
    _want_kicks(parts, cluster, node, gone)
    planned = _plan(parts, cluster, node, control)
    if planned.steps:
        _await_set_up(parts, node, control)
        planned = _plan(parts, cluster, node, control)
    lacking = [step.database for step in planned.creates if step.node == node]
    if lacking:
        raise NotCaughtUp(f"{len(lacking)} databases could not be made on it: {', '.join(lacking[:3])}", node=node)
    return {database for database, nodes in planned.removed.items() if node in nodes}


def _want_kicks(parts: Parts, cluster: Cluster, node: str, gone: Collection[str]) -> bool:
    asked = [name for name in cluster.names if name not in gone]
    kicks = stuck(cluster, asked, node, parts.settings.health_timeout)
    if kicks:
        parts.replication.want_kicks(kicks)
    return bool(kicks)


def _start_anew(parts: Parts, cluster: Cluster, node: str, gone: Collection[str]) -> None:
    """Links that crash only now, on a connection from before: CouchDB would let them wait for half a minute."""
    if _want_kicks(parts, cluster, node, gone):
        parts.publisher.soon("reconcile")


def _plan(parts: Parts, cluster: Cluster, node: str, control: Control) -> Plan:
    found, planned = look(cluster, wanted_of(parts), Quiet(control))
    if node in found.skipped:
        raise NotCaughtUp(f"it did not answer: {found.skipped[node]}", node=node)
    return planned


def _await_set_up(parts: Parts, node: str, control: Control) -> None:
    job = parts.jobs.submit(Request(Kind.SETUP, None, AUTOMATIC)).job
    until = time.monotonic() + SET_UP_PATIENCE
    while time.monotonic() < until:
        control.check()
        now = parts.jobs.get(job.id)
        if now is None or now.state is State.FAILED:
            raise NotCaughtUp(f"the set-up before it failed (job {job.id})", node=node)
        if now.ended:
            return
        time.sleep(LOOK_EVERY)
    # given back, so that it does not hold the very worker that the set-up waits for
    raise NotCaughtUp(f"the set-up before it has not been done yet (job {job.id})", node=node)


def _links_caught_up(parts: Parts, cluster: Cluster, node: str, gone: Collection[str], control: Control) -> bool:
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
            _start_anew(parts, cluster, node, gone)
            parts.publisher.soon("links")
        time.sleep(LOOK_EVERY)
    return False


def _tell(parts: Parts, node: str, job: Job, result: dict[str, Any]) -> None:
    refused = f"; of {len(result['refused'])} it refuses documents" if result["refused"] else ""
    parts.events.record(
        "node.rejoined",
        at=time.time(),
        severity="warning" if refused else "info",
        node=node,
        detail=f"{node} is up to date: {result['databases']} databases, {result['seconds']} s{refused}",
        job=job.id,
        seconds=result["seconds"],
    )


def _failed(parts: Parts, node: str, owed: Verdict, job: Job, error: ReplicationError) -> None:
    """Told once for each reason: it is tried again and again."""
    words = scrub_all(f"could not be brought up to date: {error.detail}", parts.settings.secrets)
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


def _note(parts: Parts, node: str, owed: Verdict, note: str | None) -> None:
    """What the next verdict says of it."""
    with suppress(StoreUnavailable):
        last = parts.seen.rejoins().get(node, {})
        tries = int(last.get("tries", 0)) if last.get("debt") == owed.debt_at else 0
        record = {"debt": owed.debt_at, "tries": tries, "at": time.time(), "note": note}
        parts.seen.save_rejoin(node, record)
