"""Look at every node once, all at the same time: does it answer, with our credentials, and how fast; what is
it; which databases has it.

Each node has its own time-outs, so a hung one costs the sweep one time-out, however many hang.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from worker.core.errors import ReplicationError, ServerFault
from worker.core.health import Look
from worker.core.names import OWN_DATABASE
from worker.core.rules import USERS
from worker.couch.cluster import Cluster
from worker.ops.look import reason
from worker.ops.parallel import each


@dataclass
class NodeSeen:
    """`databases` is None where they could not be read: unknown, not empty."""

    look: Look
    databases: list[str] | None = None
    errors: list[str] = field(default_factory=list)


def sweep(cluster: Cluster, timeout: float) -> dict[str, NodeSeen]:
    """Node -> what was seen of it. `timeout` (seconds) bounds each of its answers."""

    def one(name: str) -> NodeSeen:
        return _look(cluster, name, timeout)

    return {name: outcome.value for name, outcome in each(cluster.names, one).items() if outcome.value is not None}


def _look(cluster: Cluster, name: str, timeout: float) -> NodeSeen:
    server = cluster[name]
    try:
        capabilities = server.capabilities()
        began = time.monotonic()
        said = server.welcome(tries=1, read_timeout=timeout)
        latency = (time.monotonic() - began) * 1000
        if not server.is_up(read_timeout=timeout):
            raise ServerFault("in maintenance mode", node=name)
    except ReplicationError as error:
        server.forget()
        return NodeSeen(Look(name, ok=False, reason=reason(error)))
    seen = NodeSeen(
        Look(
            name,
            ok=True,
            latency_ms=round(latency, 1),
            version=_version(said),
            uuid=str(said["uuid"]) if said.get("uuid") else capabilities.uuid,
            kind=capabilities.kind.value,
        ),
    )
    try:
        names = server.databases(tries=1, read_timeout=timeout)
        others = [name for name in names if not name.startswith("_") and name != OWN_DATABASE]
        seen.databases = others + [name for name in names if name == USERS]
        seen.look = replace(seen.look, own=OWN_DATABASE in names)
    except ReplicationError as error:
        # the node is there, but does not tell everything: say what is missing instead of guessing
        seen.errors.append(reason(error))
    return seen


def _version(said: Mapping[str, Any]) -> str | None:
    version = str(said.get("version") or "") or None
    # a stand-in's number is not CouchDB's
    return f"express-pouchdb {version}" if version and "express-pouchdb" in said else version
