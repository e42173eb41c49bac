"""How one database may travel, for the job that is about to carry or compare it."""

from __future__ import annotations

from tasks.rules import route_of, rules_of
from tasks.wiring import Parts
from worker.core.health import NodeState
from worker.core.model import Route
from worker.couch.cluster import Cluster
from worker.ops import choices


def route_for(parts: Parts, cluster: Cluster, database: str) -> Route:
    """How this database may travel. Whether somebody set it up one way is asked of the nodes and not of a cache: a sync
    that is a second too early must not carry back what was never to come back."""
    sweep = parts.seen.sweep() or {"nodes": []}
    healthy = {node["name"] for node in sweep["nodes"] if node["state"] == NodeState.HEALTHY}
    # those that the last sweep saw hang would only cost their time-outs
    names = [name for name in cluster.names if name in healthy] or cluster.names
    narrowed = frozenset({database}) if choices.is_one_way(cluster, names, database) else frozenset[str]()
    return route_of(rules_of(parts.settings), database, narrowed, len(cluster.names))
