"""Nodes and the cluster, as the last sweep saw them. A sweep that is too old says nothing: its nodes are `unknown`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import Metric

from api import observed
from api.context import Context
from api.metrics.figure import Gauge, states
from tasks.fresh import fresh_look, fresh_pass
from tasks.lags import node_lags, on_change
from worker.core.health import ClusterState, NodeState

CLUSTER = Gauge("cluster_state", "1 for the state that the cluster is in, 0 for the others", "state")
STATE = Gauge("node_state", "1 for the state that the node is in, 0 for the others", "node", "state")
LATENCY = Gauge("node_latency_seconds", "How long the node took to answer the last sweep", "node")
LAG = Gauge("node_lag_changes", "Changes of other nodes that the node has not confirmed", "node")
DISK = Gauge("node_disk_bytes", "Size of the files of all its databases", "node")
REPLICATION = Gauge("node_replication_jobs", "Jobs of the node's own replication scheduler", "node", "state")
DATABASES = Gauge("databases", "Databases that the last sweep saw on any node")
FIGURES = (CLUSTER, STATE, LATENCY, LAG, DISK, REPLICATION, DATABASES)
JOBS = ("running", "pending", "crashed")


def figures(parts: Context) -> Iterator[Metric]:
    settings, sweep, now = parts.settings, parts.seen.sweep(), parts.clock()
    cluster = observed.cluster(settings, sweep, now)
    yield from CLUSTER.of(states([()], {(): cluster.value}, [*ClusterState]))
    seen = sweep["nodes"] if sweep is not None and fresh_look(sweep, settings, now) else []
    known = {node["name"]: node for node in seen}
    names = list(dict.fromkeys([*(node.name for node in settings.nodes), *known]))
    now_in: dict[tuple[str, ...], str] = {
        (name,): known.get(name, {}).get("state", NodeState.UNKNOWN.value) for name in names
    }
    yield from STATE.of(states([*now_in], now_in, [*NodeState]))
    yield from LATENCY.of({(name,): _seconds(node) for name, node in known.items()})
    lag = _lag(parts) if known else {}
    yield from LAG.of({(name,): lag.get(name) for name in known})
    yield from DISK.of({(name,): (node.get("disk") or {}).get("file_bytes") for name, node in known.items()})
    yield from REPLICATION.of(
        {
            (name, state): node["replication_jobs"][state]
            for name, node in known.items()
            if node.get("replication_jobs")
            for state in JOBS
        }
    )
    if known:
        yield from DATABASES.one(parts.seen.database_count())


def _lag(parts: Context) -> dict[str, int | None]:
    """Unknown where one of the looks that tell it is too old."""
    summary, found = parts.replication.links_summary(), parts.seen.last_pass()
    now, settings = parts.clock(), parts.settings
    if (summary and not fresh_look(summary, settings, now)) or (found and not fresh_pass(found, settings, now)):
        return {}
    names, passes = [node.name for node in settings.nodes], on_change(parts.replication.reconcile())
    return node_lags(names, summary, found, passes=passes)


def _seconds(node: Mapping[str, Any]) -> float | None:
    latency = node.get("latency_ms")
    return latency / 1000 if latency is not None else None
