"""Look at every node once, all at the same time: does it answer, with our credentials, and how fast; what is
it; which databases has it; how are its links.

Each node has its own time-outs, so a hung one costs the sweep one time-out, however many hang.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.core.errors import ReplicationError, ServerFault, Unsupported
from worker.core.health import Look
from worker.core.names import parse_replication_document_id
from worker.core.redact import scrub
from worker.couch.cluster import Cluster
from worker.couch.replicator import Replicator
from worker.ops.look import reason
from worker.ops.parallel import each


@dataclass
class NodeSeen:
    """`databases` and `links` are None where they could not be read: unknown, not empty."""

    look: Look
    scheduler: bool | None = None
    databases: list[str] | None = None
    links: list[dict[str, Any]] | None = None
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
            uuid=capabilities.uuid,
            kind=capabilities.kind.value,
        ),
        scheduler=capabilities.scheduler,
    )
    try:
        names = server.databases(tries=1, read_timeout=timeout)
        seen.databases = [database for database in names if not database.startswith("_")]
        seen.links = _links(Replicator(server), timeout)
    except ReplicationError as error:
        # the node is there, but does not tell everything: say what is missing instead of guessing
        seen.errors.append(reason(error))
    return seen


def _version(said: Mapping[str, Any]) -> str | None:
    version = str(said.get("version") or "") or None
    # a stand-in's number is not CouchDB's
    return f"express-pouchdb {version}" if version and "express-pouchdb" in said else version


def _links(replicator: Replicator, timeout: float) -> list[dict[str, Any]]:
    """The state of each of our continuous links that this server pulls."""
    try:
        documents = replicator.documents(read_timeout=timeout)
    except Unsupported:
        return []
    found = []
    for document in documents:
        link = parse_replication_document_id(str(document.get("doc_id") or ""))
        if link is None:  # somebody else's
            continue
        source, target, database = link
        info = document.get("info") or {}
        found.append(
            {
                "database": database,
                "source": source,
                "target": target,
                "state": document.get("state"),
                "lag": None,  # changes_pending is not lag (it is null on an idle link and stale on a waiting one)
                "last_error": scrub(str(info["error"])) if info.get("error") else None,
            }
        )
    return found
