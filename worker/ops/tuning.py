"""Set the replicator's options on the nodes, where the operator asks for it (TUNE_NODES=true). Nothing else is touched.

Measured on CouchDB 3.5: a one-shot replication with nothing to do takes 1.2 to 5 s with the stock `startup_jitter`, and
0.1 s without. It is there to spread thousands of jobs that start at once; we keep them under half of `max_jobs`.
`checkpoint_interval`: a restarted link goes on from its last checkpoint, and reads again what came after that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from worker.couch.cluster import Cluster
from worker.ops.look import reason
from worker.ops.parallel import each

SECTION = "replicator"
VALUES: Mapping[str, str] = {"startup_jitter": "0", "checkpoint_interval": "10000"}  # milliseconds
# what CouchDB 3.x does where nothing is set (rel/overlay/etc/default.ini): its configuration lists no defaults
DEFAULTS: Mapping[str, str] = {
    "max_jobs": "500",
    "max_churn": "20",
    "interval": "60000",
    "startup_jitter": "5000",
    "checkpoint_interval": "30000",
}


def in_force(configuration: Mapping[str, str]) -> dict[str, str]:
    """The options that matter to us, as they are: what is set, else CouchDB's default."""
    return {key: configuration.get(key, default) for key, default in DEFAULTS.items()}


def tune(cluster: Cluster, names: Sequence[str], configuration: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Set what differs; returns what was changed, or could not be, in words."""

    def one(name: str) -> list[str]:
        changed = []
        for key, value in VALUES.items():
            was = in_force(configuration.get(name, {}))[key]
            if was != value:
                cluster[name].configure(SECTION, key, value)
                changed.append(f"{name}: [{SECTION}] {key} {was} -> {value}")
        return changed

    told: list[str] = []
    outcomes = each([name for name in names if cluster[name].capabilities().scheduler], one)
    for name, outcome in outcomes.items():
        told += outcome.value or [] if outcome.error is None else [f"{name}: not changed: {reason(outcome.error)}"]
    return told
