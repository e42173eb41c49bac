"""The scheduled canary: how many seconds does a write take from each node to each other, now?"""

from __future__ import annotations

import time

from tasks.wiring import Parts
from worker.couch.cluster import Cluster
from worker.ops.canary import measure
from worker.ops.control import Unattended

SHORTEST_WAIT = 30.0  # seconds
LONGEST_WAIT = 150.0


def run_canary(parts: Parts, cluster: Cluster) -> None:
    names = parts.seen.answering(cluster.names) or []
    if len(names) < 2 or parts.replication.reconcile() is None:
        return
    # where only the periodic pass carries changes, a write waits for its turn
    patience = min(LONGEST_WAIT, max(SHORTEST_WAIT, 2.0 * parts.settings.replication_retry_seconds + 10))
    began = time.time()
    arrivals = measure(cluster, names, Unattended(), patience)
    parts.replication.save_canary({"arrivals": [vars(arrival) for arrival in arrivals], "observed_at": began})
