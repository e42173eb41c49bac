"""Scratch databases: what drills and selectors make on a node for a moment, and what is left of them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress

from worker.core.errors import ReplicationError
from worker.core.names import SCRATCH
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.server import Server
from worker.ops.look import LOOK_TIMEOUT
from worker.ops.parallel import each


def scratch(server: Server, tag: str) -> Database:
    """`tag`: the same for each attempt at one job, so that what one has left the next removes."""
    return Database(server, f"{SCRATCH}{tag}")


def clear_scratch(cluster: Cluster, in_use: Callable[[], Collection[str]]) -> list[str]:
    """Drops what attempts have left that ended on another node, or with their worker. `in_use`: the tags of jobs that
    are not over; asked once the nodes were, so that none is missing. Returns `node/database` of what is gone; nodes
    that do not answer are for the next time."""
    looks = each(cluster.names, lambda name: cluster[name].databases(read_timeout=LOOK_TIMEOUT))
    there = [(node, name) for node, look in looks.items() for name in look.value or () if name.startswith(SCRATCH)]
    if not there:
        return []
    used = {f"{SCRATCH}{tag}" for tag in in_use()}
    gone = []
    for node, name in there:
        if name not in used:
            with suppress(ReplicationError):
                Database(cluster[node], name).drop()
                gone.append(f"{node}/{name}")
    return gone
