"""The scheduled canary: how many seconds does a write take from each node to each other, now? And does each take one?

The sweep only reads, and a node whose disk is full answers every read. So what the canary's write met is kept by node,
for whoever judges them.
"""

from __future__ import annotations

import time

from config.settings import Settings
from tasks.fresh import LONGEST_CANARY
from tasks.wiring import Parts
from worker.core.errors import ReplicationError
from worker.core.failures import failure_of, reason_of
from worker.core.health import Failure
from worker.couch.cluster import Cluster
from worker.ops.canary import measure
from worker.ops.control import Unattended

SHORTEST_WAIT = 30.0  # seconds
# what a write shows and a look does not: of all else the look itself is the fresher witness
ONLY_AT_WRITES = frozenset({Failure.DISK})


def run_canary(parts: Parts, cluster: Cluster) -> None:
    now = time.time()
    answering = parts.seen.answering(cluster.names) or []
    # one that takes no writes is not healthy for that alone: without being asked it would never be well again
    names = [name for name in cluster.names if name in answering or canary_trouble(parts, name, now)]
    if len(names) < 2 or parts.replication.reconcile() is None:
        return

    def wrote(name: str, error: ReplicationError | None) -> None:
        failed = None
        if error is not None:
            failed = {"failure": failure_of(error).value, "reason": reason_of(error), "at": time.time()}
        parts.replication.save_canary_write(name, failed)

    arrivals = measure(cluster, names, Unattended(), _patience(parts.settings), wrote=wrote)
    parts.replication.save_canary({"arrivals": [vars(arrival) for arrival in arrivals], "observed_at": now})


def canary_trouble(parts: Parts, node: str, now: float) -> tuple[Failure, str] | None:
    """What the last canary write to this node showed that no look can (a full disk), and why in words; None where it
    was taken, failed in a way that looks see as well, or is too old to say anything about now."""
    failed = parts.replication.canary_write(node)
    if failed is None or now - failed["at"] > _recent(parts.settings):
        return None
    failure = Failure(failed["failure"])
    return (failure, str(failed["reason"])) if failure in ONLY_AT_WRITES else None


def _patience(settings: Settings) -> float:
    """Seconds; where only the periodic pass carries changes, a write waits for its turn."""
    return min(LONGEST_CANARY, max(SHORTEST_WAIT, 2.0 * settings.replication_retry_seconds + 10))


def _recent(settings: Settings) -> float:
    """Seconds within which there has been another canary, however long one waited for its arrivals."""
    return _patience(settings) + 2.0 * settings.canary_seconds
