"""Nodes that work goes on without: down by the last sweep, and silent still.

A node that hangs would cost every job the time-out of its first question. So it is asked one short question here, and
left out when it does not answer: it is caught up when it comes back (tasks.rejoin).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from tasks.wiring import Parts
from worker.core.health import Failure
from worker.couch.cluster import Cluster
from worker.ops.parallel import each

PROBE = 1.0  # seconds
REMEMBERED = 3.0  # seconds that an answer, or silence, counts
# only these are asked: one that refuses our password must not be tried again and again
SILENT = frozenset({Failure.REFUSED, Failure.DNS, Failure.UNREACHABLE, Failure.TIMED_OUT})


def away(parts: Parts, cluster: Cluster) -> dict[str, str]:
    """Node -> why it is left out, in words. Raises StoreUnavailable."""
    sweep = parts.seen.sweep() or {"nodes": []}
    down = {
        node["name"]: node
        for node in sweep["nodes"]
        if node["name"] in cluster.names and node.get("verdict", {}).get("down") and not node["successes"]
    }
    answering = _answering(parts, cluster, [name for name, node in down.items() if node.get("failure") in SILENT])
    return {
        name: f"down since {_time(node['since'])}: {node['reason']}"
        for name, node in down.items()
        if name not in answering
    }


def _answering(parts: Parts, cluster: Cluster, names: list[str]) -> set[str]:
    """Those that answer after all. Asked once in a few seconds, however many syncs want to know."""
    now = time.monotonic()
    fresh = [name for name in names if name not in parts.probes or parts.probes[name][0] < now - REMEMBERED]
    for name, outcome in each(fresh, lambda name: cluster[name].welcome(tries=1, within=PROBE)).items():
        parts.probes[name] = (now, outcome.error is None)
    return {name for name in names if parts.probes[name][1]}


def _time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
