"""The copies of the register (worker.core.register) on the nodes: a `_local` document in our own database, which is
never replicated, so that a node's word is its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from worker.core.names import OWN_DATABASE
from worker.core.register import Register, as_json, from_json, newest
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.own import put_local
from worker.ops.parallel import each

ID = "_local/nodes"


def read(cluster: Cluster, names: Iterable[str], timeout: float) -> dict[str, Register]:
    """Node -> what it remembers, of these nodes, as far as they answer. `timeout` in seconds."""

    def ask(name: str) -> Register:
        found = Database(cluster[name], OWN_DATABASE).get(ID, tries=1, read_timeout=timeout)
        return from_json((found or {}).get("nodes", {}))

    return {name: outcome.value for name, outcome in each(names, ask).items() if outcome.value is not None}


def write(cluster: Cluster, names: Iterable[str], register: Register) -> list[str]:
    """Have these nodes remember it; returns those that do now. Where our own database is not, nothing is made."""

    def put(name: str) -> bool:
        database = Database(cluster[name], OWN_DATABASE)
        if database.info(tries=1) is None:
            return False
        put_local(database, {"_id": ID, "nodes": as_json(register)})
        return True

    return [name for name, outcome in each(names, put).items() if outcome.value]


def digest(register: Register) -> str:
    """Equal for equal registers: what a node is known to have."""
    return hashlib.sha256(json.dumps(as_json(register), sort_keys=True).encode()).hexdigest()[:16]


def merged(said: dict[str, Register]) -> Register:
    return newest(said.values())
