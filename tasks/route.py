"""How one database may travel, for the job that is about to carry or compare it."""

from __future__ import annotations

from tasks.rules import route_of
from tasks.wiring import Parts
from worker.core.model import Route
from worker.couch.cluster import Cluster
from worker.ops import choices


def route_for(parts: Parts, cluster: Cluster, database: str) -> Route:
    """How this database may travel. Whether somebody set it up one way is asked of the nodes and not of a cache: a sync
    that is a second too early must not carry back what was never to come back."""
    # those that the last sweep saw hang would only cost their time-outs
    names = parts.seen.answering(cluster.names) or cluster.names
    narrowed = frozenset({database}) if choices.is_one_way(cluster, names, database) else frozenset[str]()
    return route_of(parts.rules, database, narrowed, len(cluster.names))
