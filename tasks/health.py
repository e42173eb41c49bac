"""The bodies of the scheduled looks: the sweep, one database for the API, and the reaper."""

from __future__ import annotations

import queue
import time
from collections.abc import Mapping
from typing import Any

from config.logs import get
from tasks.jobs import Kind
from tasks.locks import alone
from tasks.wiring import Parts
from worker.core import disk
from worker.core.disk import Round
from worker.core.health import Bounds, ClusterState, NodeState, Verdict, judge
from worker.core.health import cluster as cluster_state
from worker.core.model import DatabaseInfo
from worker.core.names import OWN_DATABASE
from worker.core.rules import USERS
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.node_look import NodeSeen
from worker.ops.parallel import start
from worker.ops.sweep import sweep

log = get(__name__)
LOOK_PATIENCE = 1.5  # seconds; the API waits for two
LOST_AFTER = 10.0  # seconds after which a job nobody claimed is put on the queue again, where that is empty
LOST_AFTER_BEHIND_OTHERS = 60.0  # the same where messages wait: its own is most likely one of them


def run_sweep(parts: Parts, cluster: Cluster) -> None:
    """Look at all nodes, judge them by their history, and keep what was seen."""
    earlier = parts.seen.sweep() or {}
    settings = parts.settings
    seen = sweep(cluster, settings.health_timeout, slow_ms=settings.health_slow_ms, carried=carried_rounds(earlier))
    now = time.time()
    verdicts = _verdicts(parts, earlier, seen, now)
    links = parts.replication.links_summary() or {}
    record = {
        "observed_at": now,
        "cluster": _cluster(verdicts, links.get("broken", 0)).value,
        "nodes": [_node(cluster, verdicts[name], node, now) for name, node in seen.items()],
    }
    databases = _databases(seen, users=parts.settings.replicate_users)
    parts.seen.save_sweep(record, databases)
    if databases is not None and all(node.databases is not None for node in seen.values()):
        gone = parts.seen.synced_names() - databases.keys()
        # a sweep does not list system databases, nor ours
        parts.seen.forget_syncs(name for name in gone if not name.startswith("_") and name != OWN_DATABASE)


def sweep_now(parts: Parts, cluster: Cluster) -> None:
    """A sweep beside the schedule, unless one is under way: two at once would count one failure twice."""
    with alone(parts.redis, "sweep") as mine:
        if mine:
            run_sweep(parts, cluster)


def _verdicts(parts: Parts, earlier: dict[str, Any], seen: dict[str, NodeSeen], now: float) -> dict[str, Verdict]:
    bounds = Bounds(parts.settings.health_failures, parts.settings.health_successes)
    before = {node["name"]: node for node in earlier.get("nodes", [])}
    verdicts = {}
    for name, node in seen.items():
        was = before.get(name)
        known = (
            Verdict(name, NodeState(was["state"]), was["since"], was["reason"], was["failures"], was["successes"])
            if was
            else None
        )
        verdicts[name] = judge(known, node.look, now, bounds)
        if known is None or known.state is not verdicts[name].state:
            tell = log.info if verdicts[name].state is NodeState.HEALTHY else log.warning
            tell("node state", node=name, state=verdicts[name].state.value, reason=verdicts[name].reason)
    return verdicts


def _cluster(verdicts: dict[str, Verdict], broken: int) -> ClusterState:
    """Of the nodes, and where all of them are well of the links between them."""
    state = cluster_state(verdict.state for verdict in verdicts.values())
    return ClusterState.DEGRADED if broken and state is ClusterState.HEALTHY else state


def carried_rounds(earlier: Mapping[str, Any]) -> dict[str, Round]:
    """Node -> how far the sweep before came with the sizes of its databases."""
    rounds = {node["name"]: disk.from_json(node.get("disk_round")) for node in earlier.get("nodes", [])}
    return {name: so_far for name, so_far in rounds.items() if so_far is not None}


def _node(cluster: Cluster, verdict: Verdict, node: NodeSeen, now: float) -> dict[str, Any]:
    return {
        "name": verdict.node,
        "url": cluster[verdict.node].node.url,
        "state": verdict.state.value,
        "since": verdict.since,
        "reason": verdict.reason or "; ".join(node.errors) or None,
        "failures": verdict.failures,
        "successes": verdict.successes,
        "failure": verdict.failure.value if verdict.failure else None,
        "latency_ms": node.look.latency_ms,
        "version": node.look.version,
        "uuid": node.look.uuid,
        "kind": node.look.kind,
        "uptime_seconds": node.look.uptime,
        **vars(node.details),
        "disk_round": disk.to_json(node.disk_round) if node.disk_round else None,
        "observed_at": now,
    }


def _databases(seen: dict[str, NodeSeen], *, users: bool) -> dict[str, list[str]] | None:
    if all(node.databases is None for node in seen.values()):
        return None
    found: dict[str, list[str]] = {}
    for name, node in seen.items():
        for database in node.databases or []:
            if database == USERS and not users:
                continue
            found.setdefault(database, []).append(name)
    return found


def run_look(parts: Parts, cluster: Cluster, database: str, box: str) -> None:
    """Which nodes have this database now? For the API, which waits for the answer."""

    def ask(name: str) -> DatabaseInfo | None:
        cluster[name].capabilities()  # which remembers a refused password, and does not send it again
        return Database(cluster[name], database).info(tries=1, read_timeout=1.0)

    outcomes = start(cluster.names, ask)
    unreached = set(cluster.names)
    found: list[str] = []
    pending, until = len(unreached), time.monotonic() + LOOK_PATIENCE
    # the first that has it is answer enough, and a node that hangs must not make the API wait in vain
    while pending and not found and (left := until - time.monotonic()) > 0:
        try:
            outcome = outcomes.get(timeout=left)
        except queue.Empty:
            break
        pending -= 1
        if outcome.error is None and outcome.defect is None:
            unreached.discard(outcome.key)
            found += [outcome.key] if outcome.value is not None else []
    parts.seen.answer_look(box, database, found, sorted(unreached))


def run_reap(parts: Parts) -> None:
    """Put lost work back on the queue, and forget what is past its time."""
    depths = {kind: parts.publisher.depth(kind.value) for kind in Kind}
    bounds = {kind: LOST_AFTER_BEHIND_OTHERS if depth else LOST_AFTER for kind, depth in depths.items()}
    ids = parts.store.reap(time.time(), bounds)
    if ids:
        log.info("jobs put on the queue again", count=len(ids))
    parts.jobs.wake(ids)
    parts.seen.tick(time.time())
