"""Which replication documents have credentials inline? Their ids are all that leaves here."""

from __future__ import annotations

from itertools import islice

from worker.core.audit.content import has_inline_credentials, is_replicator
from worker.core.audit.observed import Replications
from worker.couch.database import Database
from worker.couch.server import ASK_TIMEOUT, Server
from worker.ops.control import Control

MOST = 20_000  # documents of one database
MOST_DATABASES = 20
A_PAGE = 500


def look(server: Server, control: Control) -> tuple[Replications, ...]:
    names = server.databases(tries=1, within=ASK_TIMEOUT)
    wanted = [name for name in names if is_replicator(name)][:MOST_DATABASES]
    return tuple(_look(Database(server, name), control) for name in wanted)


def _look(database: Database, control: Control) -> Replications:
    inline: list[str] = []
    looked_at = 0
    documents = database.documents("", A_PAGE)
    for document in islice(documents, MOST):
        looked_at += 1
        if looked_at % A_PAGE == 0:
            control.check()
        if has_inline_credentials(document):
            inline.append(str(document["_id"]))
    return Replications(database.name, tuple(inline), looked_at, next(documents, None) is None)
