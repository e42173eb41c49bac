"""Databases that somebody set up one way (`"bidirectional": false`), remembered on the nodes.

Reconciling goes on long after the request, and must not give such a database the links back that nobody asked for. One
document a database in our own database, on every node that answers: it outlives Redis, and any node that is left knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from worker.core.errors import Forbidden
from worker.core.names import OWN_DATABASE
from worker.couch.database import Database
from worker.couch.server import Server
from worker.ops.look import LOOK_TIMEOUT
from worker.ops.parallel import batches

PREFIX = "one-way:"
BATCH = 1_000


def read(server: Server) -> frozenset[str]:
    found = Database(server, OWN_DATABASE).documents(PREFIX)
    return frozenset(str(document["_id"]).removeprefix(PREFIX) for document in found)


def is_narrowed(server: Server, database: str) -> bool:
    found = Database(server, OWN_DATABASE).get(f"{PREFIX}{database}", tries=1, read_timeout=LOOK_TIMEOUT)
    return found is not None


def write(server: Server, names: Iterable[str], *, narrowed: bool) -> None:
    """Remember these databases as set up one way, or forget that they were."""
    database = Database(server, OWN_DATABASE)
    for batch in batches(sorted(f"{PREFIX}{name}" for name in names), BATCH):
        found = database.by_ids(batch)
        documents: list[dict[str, Any]]
        if narrowed:
            documents = [{"_id": name} for name in batch if name not in found]
        else:
            documents = [{"_id": name, "_rev": document["_rev"], "_deleted": True} for name, document in found.items()]
        for row in database.bulk(documents) if documents else []:
            # a conflict: the same, written on another node, came by replication in between
            if row.get("error") not in {None, "conflict"}:
                raise Forbidden(f"{row['id']}: {row.get('reason')}")
