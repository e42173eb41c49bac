"""The sweep: look at all nodes, judge them by their history, keep and tell what was found.

A node that fails, or that answers again, is looked at again within seconds, as long as the next sweep is not due: one
bad look is no verdict, and three at the usual interval would take half a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from tasks import judging
from tasks.canary import canary_trouble
from tasks.lags import lags_behind, seen_at
from tasks.locks import alone
from tasks.rejoining import ask_for_rejoins
from tasks.sweep_notes import note_figures, note_history
from tasks.wiring import Parts
from worker.core import disk
from worker.core.disk import Round
from worker.core.health import ClusterState, Failure, Look, NodeState, Verdict
from worker.core.health import cluster as cluster_state
from worker.core.names import is_own
from worker.core.routing import Standing, Way, acting_primary, routes
from worker.core.rules import USERS
from worker.couch.cluster import Cluster
from worker.ops.node_look import NodeSeen
from worker.ops.sweep import sweep

# what these have is what the others should have, too
WHOLE = frozenset({NodeState.HEALTHY, NodeState.SUSPECT, NodeState.MAINTENANCE})
SEVERITY = {
    NodeState.HEALTHY: "info",
    NodeState.RECOVERING: "info",
    NodeState.MAINTENANCE: "info",
    NodeState.SUSPECT: "warning",
    NodeState.REPLACED: "warning",
    NodeState.DOWN: "error",
}
LONGEST = 60.0  # seconds that looks are repeated, however long the interval is
LOOK_AGAIN = 2.0  # seconds until a node whose state is in doubt is looked at again

Record = dict[str, Any]


def run_sweep(parts: Parts, cluster: Cluster, wait: Callable[[float], None] = time.sleep) -> None:
    """One sweep, and more looks at the nodes whose state is in doubt, until the next sweep is due."""
    settings = parts.settings
    over = time.monotonic() + min(settings.health_interval - 1.0, LONGEST)
    doubtful = look_once(parts, cluster)
    while doubtful and time.monotonic() + LOOK_AGAIN + settings.health_timeout < over:
        wait(LOOK_AGAIN)
        doubtful = look_once(parts, cluster, doubtful)


def sweep_now(parts: Parts, cluster: Cluster) -> None:
    """A sweep beside the schedule, unless one is under way: two at once would count one failure twice."""
    with alone(parts.redis, "sweep") as mine:
        if mine:
            look_once(parts, cluster)


def look_once(parts: Parts, cluster: Cluster, names: Collection[str] | None = None) -> list[str]:
    """Look at these nodes (None: all), and judge them. Returns those whose state is in doubt."""
    earlier = parts.seen.sweep() or {}
    settings = parts.settings
    carried = carried_rounds(earlier)
    seen = sweep(cluster, settings.health_timeout, names, slow_ms=settings.health_slow_ms, carried=carried)
    now = time.time()
    looks = {name: _with_canary(parts, node.look, now) for name, node in seen.items()}
    before = {node["name"]: node for node in earlier.get("nodes", []) if node["name"] in cluster.names}
    remembered = {name: judging.read(node) for name, node in before.items()}
    looks = judging.with_memory(parts, cluster, looks, remembered, now)
    known, unread = judging.register_of(parts, cluster, looks)
    verdicts, register = judging.judged(parts, looks, remembered, known, now)
    nodes = {**before, **{name: _node(cluster, verdicts[name], node, now) for name, node in seen.items()}}
    links = parts.replication.links_summary()
    state = _cluster(nodes, (links or {}).get("broken", 0)).value
    record = {
        "observed_at": now if names is None else earlier.get("observed_at", now),
        "cluster": state,
        "nodes": [nodes[name] for name in cluster.names if name in nodes],
    }
    databases = _databases(seen, users=parts.settings.replicate_users) if names is None else None
    # told before it is kept: where Redis goes away in between, it is told twice and not never
    _tell(parts, earlier, remembered, verdicts, state)
    parts.seen.save_sweep(record, databases)
    note_history(parts, seen, verdicts, links, now)
    note_figures(parts, seen, now, whole=names is None)
    _stand(parts, record, cluster, links)
    judging.spread(parts, cluster, register, looks, unread)
    if databases is not None and all(node.databases is not None for node in seen.values()):
        _forget(parts, databases)
    ask_for_rejoins(parts, verdicts, now)
    return [name for name, verdict in verdicts.items() if _in_doubt(verdict)]


def _with_canary(parts: Parts, look: Look, now: float) -> Look:
    """What shows only when something is written: a node whose disk is full answers every look."""
    trouble = canary_trouble(parts, look.node, now) if look.ok else None
    return replace(look, ok=False, failure=trouble[0], reason=trouble[1]) if trouble else look


def carried_rounds(earlier: Record) -> dict[str, Round]:
    """Node -> how far the sweep before came with the sizes of its databases."""
    rounds = {node["name"]: disk.from_json(node.get("disk_round")) for node in earlier.get("nodes", [])}
    return {name: so_far for name, so_far in rounds.items() if so_far is not None}


def _in_doubt(verdict: Verdict) -> bool:
    return verdict.state is NodeState.SUSPECT or (verdict.down and verdict.successes > 0)


def _stand(parts: Parts, record: Record, cluster: Cluster, summary: Record | None) -> None:
    """Where clients may go, and who acts as the primary: from all that is known of all nodes. `summary`: of
    the links between them."""
    found = parts.seen.last_pass()
    nodes = {node["name"]: node for node in record["nodes"]}
    whole = [name for name, node in nodes.items() if NodeState(node["state"]) in WHOLE]
    lags = lags_behind(cluster.names, whole, summary, found, around=parts.settings.replication_topology == "mesh")
    standings = {
        name: Standing(
            NodeState(node["state"]),
            node["reason"],
            lags.get(name),
            Failure(node["failure"]) if node["failure"] else None,
        )
        for name, node in nodes.items()
    }
    max_lag = parts.settings.ready_max_lag
    drained = [name for name, said in parts.seen.standings().items() if said["way"] == Way.DRAIN]
    ways = routes(standings, max_lag, drained)
    parts.seen.save_standings(
        {
            name: {
                "state": standing.state.value,
                "reason": standing.reason,
                "lag": standing.lag,
                "lag_observed_at": seen_at(summary, found),
                "way": ways[name].way.value,
                "way_reason": ways[name].reason,
                "observed_at": nodes[name]["observed_at"],
            }
            for name, standing in standings.items()
        }
    )
    acting = parts.seen.primary()
    now_acting = acting_primary(cluster.names, standings, acting, max_lag)
    if now_acting is not None and now_acting != acting:
        if acting is not None:
            parts.events.record(
                "primary.moved",
                at=time.time(),
                severity="warning" if now_acting != cluster.names[0] else "info",
                node=now_acting,
                detail=f"{now_acting} acts as the primary now, in place of {acting}",
                **{"from": acting, "to": now_acting},
            )
        parts.seen.save_primary(now_acting)


def _tell(
    parts: Parts, earlier: Record, before: Mapping[str, Verdict], verdicts: Mapping[str, Verdict], to: str
) -> None:
    """Every change is an event; that nodes are well when they are seen for the first time is none."""
    now = time.time()
    for name, verdict in verdicts.items():
        was = before[name].state if name in before else NodeState.UNKNOWN
        if was is verdict.state or (was is NodeState.UNKNOWN and verdict.state is NodeState.HEALTHY):
            continue
        parts.events.record(
            "node.state",
            at=now,
            severity=SEVERITY[verdict.state],
            node=name,
            detail=f"{name} is {verdict.state.value}" + (f": {verdict.reason}" if verdict.reason else ""),
            failure=verdict.failure.value if verdict.failure else None,
            **{"from": was.value, "to": verdict.state.value},
        )
    was_all = earlier.get("cluster")
    if was_all not in {None, to}:
        severity = {"healthy": "info", "down": "error"}.get(to, "warning")
        detail = f"the cluster is {to}"
        parts.events.record("cluster.state", at=now, severity=severity, detail=detail, **{"from": was_all, "to": to})


def _cluster(nodes: Mapping[str, Record], broken: int) -> ClusterState:
    """Of the nodes, and where all of them are well of the links between them."""
    state = cluster_state(NodeState(node["state"]) for node in nodes.values())
    return ClusterState.DEGRADED if broken and state is ClusterState.HEALTHY else state


def _node(cluster: Cluster, verdict: Verdict, node: NodeSeen, now: float) -> Record:
    words = judging.told(verdict)
    return {
        "name": verdict.node,
        "url": cluster[verdict.node].node.url,
        **words,
        "reason": words["reason"] or "; ".join(node.errors) or None,
        "latency_ms": node.look.latency_ms,
        "version": node.look.version,
        "uuid": node.look.uuid,
        "kind": node.look.kind,
        "uptime_seconds": node.look.uptime,
        **vars(node.details),
        "disk_round": disk.to_json(node.disk_round) if node.disk_round else None,
        "observed_at": now,
    }


def _databases(seen: Mapping[str, NodeSeen], *, users: bool) -> dict[str, list[str]] | None:
    if all(node.databases is None for node in seen.values()):
        return None
    found: dict[str, list[str]] = {}
    for name, node in seen.items():
        for database in node.databases or []:
            if database == USERS and not users:
                continue
            found.setdefault(database, []).append(name)
    return found


def _forget(parts: Parts, databases: Mapping[str, list[str]]) -> None:
    """What was noted of databases that no node has any more."""
    parts.seen.conflicts.keep_databases(databases)
    gone = parts.seen.synced_names() - databases.keys()
    # a sweep does not list system databases, nor ours
    parts.seen.forget_syncs(name for name in gone if not name.startswith("_") and not is_own(name))
