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

Configurations = Mapping[str, Mapping[str, str]]  # node -> its options of the replicator that are set

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


def differs(configuration: Mapping[str, str]) -> dict[str, str]:
    """What would have to be set, and is not: key -> value."""
    now = in_force(configuration)
    return {key: value for key, value in VALUES.items() if now[key] != value}


def would(cluster: Cluster, names: Sequence[str], configuration: Configurations) -> list[str]:
    """What `tune` would change, in words."""
    return [
        _told(name, key, configuration[name])
        for name in _scheduled(cluster, names)
        for key in differs(configuration[name])
    ]


def tune(cluster: Cluster, names: Sequence[str], configuration: Configurations) -> tuple[list[str], list[str]]:
    """Set what differs, on nodes with a scheduler. Returns what was changed, and what could not be, in words."""

    def one(name: str) -> list[str]:
        changed = []
        for key, value in differs(configuration[name]).items():
            cluster[name].configure(SECTION, key, value)
            changed.append(_told(name, key, configuration[name]))
        return changed

    outcomes = each(_scheduled(cluster, names), one)
    changed = [line for outcome in outcomes.values() for line in outcome.value or []]
    failed = [
        f"{name}: [{SECTION}] not changed: {reason(outcome.error)}"
        for name, outcome in outcomes.items()
        if outcome.error is not None
    ]
    return changed, failed


def _scheduled(cluster: Cluster, names: Sequence[str]) -> list[str]:
    return [name for name in names if cluster[name].capabilities().scheduler]


def _told(name: str, key: str, configuration: Mapping[str, str]) -> str:
    return f"{name}: [{SECTION}] {key} {in_force(configuration)[key]} -> {VALUES[key]}"
