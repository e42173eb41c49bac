"""The copies of the register (worker.core.register) on the nodes: a `_local` document in our own database, which is
never replicated, so that a node's word is its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from worker.core.names import OWN_DATABASE
from worker.core.register import Register, as_json, from_json
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.own import put_over
from worker.ops.parallel import each

ID = "_local/nodes"


def read(cluster: Cluster, names: Iterable[str], timeout: float) -> dict[str, Register]:
    """Node -> what it remembers (nothing, where it has no copy), of those of these nodes that answer in time."""

    def ask(name: str) -> Register:
        found = Database(cluster[name], OWN_DATABASE).get(ID, tries=1, within=timeout)
        return from_json((found or {}).get("nodes", {}))

    return {name: outcome.value for name, outcome in each(names, ask).items() if outcome.value is not None}


def write(cluster: Cluster, names: Iterable[str], register: Register, timeout: float) -> list[str]:
    """Have these nodes remember it; returns those that do now. `timeout`: seconds for each call."""

    def put(name: str) -> bool:
        put_over(Database(cluster[name], OWN_DATABASE), {"_id": ID, "nodes": as_json(register)}, within=timeout)
        return True

    return [name for name, outcome in each(names, put).items() if outcome.value]


def digest(register: Register) -> str:
    """Equal for equal registers: what a node is known to have."""
    return hashlib.sha256(json.dumps(as_json(register), sort_keys=True).encode()).hexdigest()[:16]
