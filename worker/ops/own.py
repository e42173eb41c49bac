"""Our own database, on every node."""

from __future__ import annotations

from worker.core.names import OWN_DATABASE
from worker.couch.database import Database
from worker.couch.server import Server


def ensure_own_database(server: Server) -> None:
    Database(server, OWN_DATABASE).create(shards=1 if server.capabilities().scheduler else None)
