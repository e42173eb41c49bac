"""Our own database on every node (names.OWN_DATABASE): what has to live on the nodes themselves.

It is small and rewritten all the time, so it gets one shard, and remembers fewer old revisions of its documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.core.errors import Conflict, ReplicationError
from worker.core.model import UNKNOWN, Node
from worker.core.names import OWN_DATABASE
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.replicator import DATABASE as REPLICATOR
from worker.couch.server import Server
from worker.ops.parallel import each

SHARDS = 1
TRIES = 3
REVS_LIMIT = 500  # old revisions; a node that was away for more edits than that would see conflicts


def ensure_own_database(server: Server, name: str = OWN_DATABASE) -> bool:
    """Make it where it is missing. One call where all is as it should be; returns whether something was done.

    The limit of revisions is set last: where it is right, so is the rest, however an earlier attempt ended.
    """
    database = Database(server, name)
    if not server.capabilities().scheduler:  # a stand-in has neither shards nor limits
        return database.info() is None and database.create()
    limit = database.revs_limit()
    if limit == REVS_LIMIT:
        return False
    if limit is None:
        database.create(shards=SHARDS)
    if server.node.peer_credentials == UNKNOWN:
        return True  # who is to be let in is known soon, and the limit is left for then
    _let_peers_in(database, server.node)
    database.set_revs_limit(REVS_LIMIT)
    return True


def put_over(database: Database, document: Mapping[str, Any], **options: Any) -> None:
    """Write a document, whatever was there before. `options` are those of a client's call. Raises Conflict
    where others write it all the time."""
    for left in reversed(range(TRIES)):
        # read first, because stand-ins refuse to overwrite a _local document without its revision
        found = database.get(str(document["_id"]), **options)
        try:
            database.put({**document, "_rev": found["_rev"]} if found else document, **options)
        except Conflict:
            if not left:
                raise
        else:
            return


def _let_peers_in(database: Database, node: Node) -> None:
    """A new database is open to server admins alone, and REPLICATION_USER need not be one."""
    ours, peer = node.credentials, node.peer_credentials
    if peer is None or (ours is not None and ours.user == peer.user):
        return
    who = {"names": [peer.user], "roles": ["_admin"]}
    database.set_security({"admins": who, "members": who})


def prepare(cluster: Cluster, names: list[str]) -> dict[str, ReplicationError]:
    """Make the databases that we need ourselves on these nodes; returns node -> why it could not be."""
    outcomes = each(names, lambda name: _prepare(cluster[name]))
    return {name: outcome.error for name, outcome in outcomes.items() if outcome.error is not None}


def _prepare(server: Server) -> None:
    ensure_own_database(server)
    if server.capabilities().scheduler:
        Database(server, REPLICATOR).create()
