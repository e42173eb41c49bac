"""Databases that somebody set up one way (`"bidirectional": false`), remembered on the nodes.

Reconciling goes on long after the request, and must not give such a database the links back that nobody asked for. One
document a database in our own database, on every node that answers: it outlives Redis, and any node that is left knows.
"""

from __future__ import annotations

from collections.abc import Iterable

from worker.core.errors import Conflict
from worker.core.names import OWN_DATABASE
from worker.couch.database import Database
from worker.couch.server import Server
from worker.ops.look import LOOK_TIMEOUT

PREFIX = "one-way:"


def read(server: Server) -> frozenset[str]:
    found = Database(server, OWN_DATABASE).documents(PREFIX)
    return frozenset(str(document["_id"]).removeprefix(PREFIX) for document in found)


def is_narrowed(server: Server, database: str) -> bool:
    found = Database(server, OWN_DATABASE).get(f"{PREFIX}{database}", tries=1, read_timeout=LOOK_TIMEOUT)
    return found is not None


def write(server: Server, names: Iterable[str], *, narrowed: bool) -> None:
    """Remember these databases as set up one way, or forget that they were."""
    database = Database(server, OWN_DATABASE)
    for name in names:
        found = database.get(f"{PREFIX}{name}")
        try:
            if narrowed and found is None:
                database.put({"_id": f"{PREFIX}{name}"})
            elif not narrowed and found is not None:
                database.delete(str(found["_id"]), str(found["_rev"]))
        except Conflict:
            # the same, written on another node, came by replication in between
            continue
