"""Which `_local` documents are a user's, and which are notes of replicators and of the server itself. Pure.

They never replicate, so a backup is the only copy of a user's. A restored checkpoint would be worse than none: it says
that a target has what the restored database may not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OWN = ("_local/purge-", "_local/shard-sync-")  # CouchDB's: purge clients, internal replication
_COUCHDB = {"replication_id_version", "source_last_seq", "session_id"}
_POUCHDB = {"last_seq", "session_id", "replicator"}


def is_user_document(document: Mapping[str, Any]) -> bool:
    if str(document["_id"]).startswith(_OWN):
        return False
    return not (document.keys() >= _COUCHDB or document.keys() >= _POUCHDB)
