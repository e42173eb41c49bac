"""Nodes that work goes on without: down by the last sweep, and silent still.

A node that hangs would cost every job the time-out of its first question. So it is asked one short question here, and
left out when it does not answer: it is caught up when it comes back (tasks.rejoin).
"""

from __future__ import annotations

from datetime import UTC, datetime

from tasks.wiring import Parts
from worker.core.health import Failure
from worker.couch.cluster import Cluster
from worker.ops.parallel import each

PROBE = 1.0  # seconds
# what waiting or asking again costs time for; a refused password is remembered, and must not be tried again
SILENT = frozenset({Failure.REFUSED, Failure.DNS, Failure.UNREACHABLE, Failure.TIMED_OUT})


def away(parts: Parts, cluster: Cluster) -> dict[str, str]:
    """Node -> why it is left out, in words. Raises StoreUnavailable."""
    sweep = parts.seen.sweep() or {"nodes": []}
    down = {
        node["name"]: node
        for node in sweep["nodes"]
        if node["name"] in cluster.names and node.get("verdict", {}).get("down") and node.get("failure") in SILENT
    }
    looks = each(down, lambda name: cluster[name].welcome(tries=1, read_timeout=PROBE))
    return {
        name: f"down since {_time(node['since'])}: {node['reason']}"
        for name, node in down.items()
        if looks[name].error is not None
    }


def _time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
