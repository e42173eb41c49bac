"""What each node is known to have had, kept on the node itself.

A database that is missing on a node was either never there (a new node: make it) or deleted there (somebody meant it:
leave it). Only a memory can tell the two apart. It is kept as `_local` documents, which are never replicated, in our
own database on that very node: so it outlives Redis, and a node that lost its disk has lost its ledger too and is
filled again like a new one.

In buckets, so that one database more rewrites a sixteenth of the names and not all of 100,000.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from worker.core.names import OWN_DATABASE
from worker.couch.database import Database
from worker.couch.server import Server
from worker.ops.own import put_over

BUCKETS = 16


def read(server: Server) -> frozenset[str]:
    """The names in the ledger; none where there is no ledger yet."""
    database = Database(server, OWN_DATABASE)
    if database.info() is None:
        return frozenset()
    names: set[str] = set()
    for number in range(BUCKETS):
        names.update((database.get(_id(number)) or {}).get("databases", []))
    return frozenset(names)


def write(server: Server, names: Iterable[str], before: frozenset[str]) -> None:
    """Make the ledger say `names`, where it said `before`."""
    now = frozenset(names)
    for number in sorted({_bucket(name) for name in now ^ before}):
        listed = sorted(name for name in now if _bucket(name) == number)
        put_over(Database(server, OWN_DATABASE), {"_id": _id(number), "databases": listed})


def _id(number: int) -> str:
    return f"_local/ledger-{number:02}"


def _bucket(name: str) -> int:
    return zlib.crc32(name.encode()) % BUCKETS
